r"""
EAGER
################################################

Reference:
    Ye Wang et al. "EAGER: Two-Stream Generative Recommender with Behavior-Semantic Collaboration."
    in KDD 2024.

Reference code:
    https://github.com/yewzz/EAGER
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn import functional as F

from recbole_genrec.errors import InputError, refuse
from recbole_genrec.items.needs import COLLABORATIVE, TEXT, Embeddings, Need, Tokens
from recbole_genrec.model.beam_recommender import BeamRecommender
from recbole_genrec.model.eager_stream import Stream
from recbole_genrec.model.eager_tasks import GlobalContrast, SemanticTransfer, corrupted
from recbole_genrec.model.t5.generation import evaluating
from recbole_genrec.tokenizer.table import SemanticIDTable

BEHAVIOR = "behavior"  # the set of semantic IDs beside the main one, which is of the texts
TRANSFER_WEIGHTS = ("code_reconstruction_weight", "code_recognition_weight")


class EAGER(BeamRecommender):
    r"""Two streams write the next item, in codes of behavior and of text, and rank it together.

    .. math::
        \mathcal{L} = \sum_{m \in \{b, t\}} \left( - \frac{1}{L} \sum_{l=1}^{L}
            \log P_m(v_l \mid v_{l-1}, x) + \lambda_m \mathcal{L}_{GCT}^m \right)
            + \lambda_{r} \mathcal{L}_{reconstruction} + \lambda_{e} \mathcal{L}_{recognition}

    .. math::
        \mathrm{score}(y) = \log P_b(y \mid x) + \log P_t(y \mid x)

    Both streams read the items of the history, each with item vectors and a decoder of its own,
    through one encoder. Each finds its likeliest items by beam search; their union is ranked by the
    score. The blocks are T5's, where the released code has BERT's.
    """

    takes_host_batches = True
    training_only = ("text_contrast", "behavior_contrast", "transfer")
    behavior_ids: SemanticIDTable

    @classmethod
    def check_config(cls, config) -> None:
        for key in ("beam_size", "valid_beam_size"):
            if config[key] is not None and config["candidates"] > config[key]:
                refuse("candidates", f"at most {key} [{config[key]}]", config["candidates"])
        for key in TRANSFER_WEIGHTS:
            if config[key] and not config["text_contrast_weight"]:
                expected = "0 where text_contrast_weight is 0, as its summary is the guide"
                refuse(key, expected, config[key])
        width, heads = config["d_model"], config["num_heads"]
        if width % heads:
            refuse("d_model", f"a multiple of num_heads [{heads}]", width)

    @classmethod
    def needs(cls, config) -> Sequence[Need]:
        contrasts = {TEXT: "text_contrast_weight", COLLABORATIVE: "behavior_contrast_weight"}
        return (
            *super().needs(config),
            Tokens(BEHAVIOR, COLLABORATIVE),
            *(Embeddings(name) for name, weight in contrasts.items() if config[weight]),
        )

    @classmethod
    def one_pass(cls, config) -> bool:
        return config["history_attention"] == "causal"

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.candidates = config["candidates"]
        self.text, self.behavior = Stream(self.ids, config), Stream(self.behavior_ids, config)
        self.behavior.t5.share_encoder(self.text.t5)
        self.text_weight = config["text_contrast_weight"]
        self.behavior_weight = config["behavior_contrast_weight"]
        self.transfer_weights = [config[key] for key in TRANSFER_WEIGHTS]
        self.text_contrast = self._contrast(TEXT, self.text_weight, config)
        self.behavior_contrast = self._contrast(COLLABORATIVE, self.behavior_weight, config)
        self.transfer = None
        if self.text_contrast is not None and any(self.transfer_weights):
            guide_dim = self.text_contrast.projection.out_features
            tree, width, heads = self.behavior.tree, config["d_model"], config["num_heads"]
            self.transfer = SemanticTransfer(tree, width, heads, guide_dim)

    def _contrast(self, name: str, weight: float, config) -> GlobalContrast | None:
        """The contrast with some embeddings; None where it has no weight, or nothing is trained."""
        given = self.items.embeddings.get(name)
        if not weight or given is None or given.vectors is None:
            return None
        negatives, temperature = config["contrast_negatives"], config["contrast_temperature"]
        return GlobalContrast(config["d_model"], given.vectors, negatives, temperature)

    # ---- training

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """The weighted terms: those of the text, those of the behavior, those of the transfer."""
        items, lengths = self.history_items(interaction)
        view = self.targets(interaction)
        targets = cast(Tensor, view.items).to(self.ids.tokens.device)
        view = view._replace(items=targets)
        losses, guide = [], None
        for stream, contrast, weight in (
            (self.text, self.text_contrast, self.text_weight),
            (self.behavior, self.behavior_contrast, self.behavior_weight),
        ):
            token = None if contrast is None else contrast.token
            states = stream.states(stream.encode(items, lengths), view, token)
            losses.append(-stream.log_probs(states, targets).mean())
            if contrast is not None:
                summary = contrast.projection(states[:, -1])
                losses.append(weight * contrast(summary, targets))
                guide = summary if guide is None else guide
        if self.transfer is not None and guide is not None:
            losses += self._transfer_losses(self.transfer, guide, targets)
        return tuple(losses)

    def _transfer_losses(
        self, transfer: SemanticTransfer, guide: Tensor, targets: Tensor
    ) -> list[Tensor]:
        tree, vectors = self.behavior.tree, self.behavior.node_vectors
        nodes = tree.nodes[targets]  # [n_targets, L + 1]
        levels = torch.randint(tree.num_levels, (2, len(targets)), device=targets.device)
        reconstruction, recognition = self.transfer_weights
        losses = []
        if reconstruction:
            loss = transfer.reconstruction(tree, vectors, nodes, guide, levels[0])
            losses.append(reconstruction * loss)
        if recognition:
            false = corrupted(tree, nodes, levels[1])
            losses.append(recognition * transfer.recognition(vectors, nodes, false, guide))
        return losses

    def num_tokens(self, interaction: Interaction) -> int | Tensor:
        """The items that both streams read, and the codes that they write."""
        read = 2 * interaction[self.ITEM_SEQ_LEN].sum()
        levels = self.ids.num_levels + self.behavior_ids.num_levels
        return read + self.num_targets(interaction) * levels

    def compile_layers(self) -> None:
        self.text.t5.compile_layers()
        self.behavior.t5.compile_layers()

    # ---- answers

    def predict(self, interaction: Interaction) -> Tensor:
        """Score of each given item after its history, `[batch]`."""
        return self.scores(interaction, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)

    def validation_loss(self, interaction: Interaction) -> Tensor:
        """Mean negative log-likelihood of the codes of the next items, those of both streams."""
        levels = self.ids.num_levels + self.behavior_ids.num_levels
        return -self.predict(interaction).mean() / levels

    @property
    def list_size(self) -> int:
        return self.candidates

    @torch.no_grad()
    def scores(self, interaction: Interaction, items: Tensor) -> Tensor:
        """Sums `[batch, m]` of the log-likelihoods of items `[batch, m]` in both streams."""
        history, lengths = self.history_items(interaction)
        return sum(
            stream.log_likelihood(stream.encode(history, lengths), items)
            for stream in (self.text, self.behavior)
        )

    @torch.no_grad()
    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The k best of the likeliest items of both streams.

        Arguments and result as in `SemanticIDRecommender.recommend`. Where k exceeds `candidates`,
        k items of each stream are united, of as many more beams.
        """
        number = max(k, self.candidates)
        beams = max(number, self.beam_size + number - self.candidates)
        history, lengths = self.history_items(interaction)
        with evaluating(self):
            found = [
                stream.search(history, lengths, ids.trie_of(allowed), beams)[0][:, :number]
                for stream, ids in ((self.text, self.ids), (self.behavior, self.behavior_ids))
            ]
            united = torch.cat(found, 1)
            items, scores = ranked_once(united, self.scores(interaction, united))
        return items[:, :k], scores[:, :k]

    def add_items(
        self, tokens: Sequence[str], titles: Sequence[str], embeddings: Mapping[str, Tensor]
    ) -> None:
        raise InputError(
            "EAGER knows the items that it was trained on alone: a new one lacks the collaborative "
            "embedding that its codes of behavior come from, and vectors of its own"
        )


def ranked_once(items: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Items `[n, m]` by their scores `[n, m]`, best first, each item once.

    The padding item and repeated ones come last, as item 0 with the score -inf. Equal scores stand
    in the order of the item ids.
    """
    order = items.argsort(dim=1)
    items, scores = items.gather(1, order), scores.gather(1, order)
    none = F.pad(items[:, 1:] == items[:, :-1], (1, 0)) | (items == 0)
    best = scores.masked_fill(none, -torch.inf).sort(dim=1, descending=True, stable=True)
    return items.masked_fill(none, 0).gather(1, best.indices), best.values
