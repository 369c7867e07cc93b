"""The base of models that write the semantic ID of the next item, code by code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn import functional as F

from recbole_genrec.decoding.beam_search import beam_search, grown
from recbole_genrec.decoding.existing_codes import ExistingCodes, of_existing_codes
from recbole_genrec.errors import InputError, refuse
from recbole_genrec.loss import LossContext, build_loss, loss_without_data
from recbole_genrec.model.beam_recommender import BeamRecommender
from recbole_genrec.model.semantic_id_recommender import TargetView

STEPS_PER_NOTE = 50  # how often the shares of the objectives are noted, beside each epoch's end


class GenerativeRecommender(BeamRecommender):
    r"""A model of :math:`P(y_l \mid x, y_{<l})`, the next code of an item y after a history x.

    A subclass writes `encode` and `decode`. It gets its training on

    .. math::
        \mathcal{L} = - \sum_{l=1}^{L} \log P(y_l \mid x, y_{<l})

    or any other `loss` by name, exact likelihoods of given items, and a beam search over the trie
    of all semantic IDs, so that only items can be written. The search decodes the whole prefix of
    every beam again at each level: always right, and to be overridden where it should be fast.

    Attributes:
        loss: maps logits and labels to the training loss.
    """

    score_name = "log_probability"
    target_counts: Tensor

    @classmethod
    def check_config(cls, config) -> None:
        loss = loss_without_data(config)
        if config["existing_codes_only"] and not loss.takes_infinite_logits:
            refuse(
                "existing_codes_only",
                f"False with loss [{config['loss']}] and its settings, which calculates with the "
                "logits of all tokens",
                True,
            )

    def __init__(self, config, dataset) -> None:
        super().__init__(config, dataset)
        self.existing_codes_only = config["existing_codes_only"]
        self.register_buffer("target_counts", dataset.target_counts, persistent=False)  # [n_items]
        self.loss = build_loss(config, self._loss_context())
        self.ids.on_change(self._renew_loss)
        self._steps = 0  # of the optimizer
        self._objective_weights: dict[int, dict[str, float]] = {}

    # ---- what a model writes

    def encode(self, interaction: Interaction) -> Any:
        """What `decode` reads of the histories of a batch, once for all targets and beams."""
        raise NotImplementedError

    def decode(self, memory: Any, inputs: Tensor, view: TargetView) -> Tensor:
        """Logits of the token after each input.

        Args:
            memory: the result of `encode`.
            inputs: tokens `[n_targets, l]`: 0, then the first l - 1 of the semantic ID.
            view: which history each target follows.

        Returns:
            `[n_targets, l, vocab_size]`
        """
        raise NotImplementedError

    def decode_without_history(self, inputs: Tensor) -> Tensor:
        """Logits `[n_targets, l, vocab_size]` as of `decode` after an empty history.

        Some losses (`cft`) measure by them what the history adds.
        """
        raise InputError(
            f"loss needs a model that can do without a history, found {type(self).__name__}"
        )

    # ---- training

    def calculate_loss(self, interaction: Interaction) -> Tensor | tuple[Tensor, ...]:
        view = self.targets(interaction)
        labels = self.labels(cast(Tensor, view.items))
        logits = self.decode(self.encode(interaction), shift_right(labels), view)
        return self.token_loss(logits, labels)

    def token_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The `loss` of logits `[n_targets, L, vocab_size]` and labels `[n_targets, L]`."""
        return self.loss(self.compared(logits, labels), labels, self.logits_without_history(labels))

    def compared(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits of labels `[n, L]`, -inf for tokens that share no probability with them.

        With `existing_codes_only` these are the ones that no item has after the same prefix.
        """
        if not self.existing_codes_only:
            return logits
        return of_existing_codes(logits, labels, self.ids.trie)

    def logits_without_history(self, labels: Tensor) -> Tensor | None:
        """Logits `[n_targets, L, vocab_size]` after an empty history, if the loss asks for them."""
        if not self.loss.needs_history_free:
            return None
        return self.decode_without_history(shift_right(labels))

    # ---- answers

    def predict(self, interaction: Interaction) -> Tensor:
        """Exact log-likelihood of each given item after its history, `[batch]`."""
        labels = self.labels(interaction[self.ITEM_ID])
        logits = self.decode(self.encode(interaction), shift_right(labels), TargetView(None))
        return self.log_likelihoods(logits, labels)

    def log_likelihoods(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of items with the tokens `[n, L]`, by their logits `[n, L, vocab_size]`; `[n]`."""
        log_probs = self.compared(logits.float(), labels).log_softmax(-1)
        return log_probs.gather(-1, labels.unsqueeze(-1)).sum((1, 2))

    def validation_loss(self, interaction: Interaction) -> Tensor:
        """Mean negative log-likelihood of the tokens of the next items, whatever the `loss`."""
        return -self.predict(interaction).mean() / self.ids.num_levels

    @torch.no_grad()
    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The k most likely items of the beam; the cost does not grow with the number of items.

        Arguments and result as in `SemanticIDRecommender.recommend`; scores are log-likelihoods.
        Where k exceeds `beam_size` the beam is as wide.
        """
        beams = max(k, self.beam_size)
        users = len(interaction)
        items, scores = beam_search(self.step(interaction), self.ids.trie_of(allowed), beams, users)
        return items[:, :k], scores[:, :k]

    def step(self, interaction: Interaction) -> PrefixStep | ExistingCodes:
        """The plain step of `beam_search` after the histories of a batch."""
        step = PrefixStep(self, self.encode(interaction), len(interaction))
        return ExistingCodes(step, self.ids.trie) if self.existing_codes_only else step

    # ---- the loss follows the IDs and is followed in the log

    def _loss_context(self) -> LossContext:
        embeddings = self.items.embeddings.get(self._sources[""])
        return LossContext(
            tokens=self.ids.tokens,
            codebook_sizes=self.ids.sizes,
            item_embeddings=embeddings and embeddings.vectors,
            target_counts=self.target_counts,
        )

    def _renew_loss(self) -> None:
        if not self.target_counts.any():  # restored to recommend only
            return
        new = self.ids.num_items - len(self.target_counts)
        self.target_counts = F.pad(self.target_counts, (0, new))
        self.loss.set_context(self._loss_context())

    def on_step_end(self) -> None:
        self.loss.on_step_end()
        self._steps += 1
        if self._steps % STEPS_PER_NOTE == 0:
            self._note_objectives()

    def on_epoch_end(self, epoch: int) -> None:
        weights = self._note_objectives()
        if weights:
            shares = ", ".join(f"{name} {share:.4f}" for name, share in weights.items())
            self.logger.info(f"Objectives after epoch {epoch}: {shares}")

    def _note_objectives(self) -> Mapping[str, float]:
        """Note the shares of the objectives where the loss mixes several, and return them."""
        weights = self.loss.objective_weights()
        if weights:
            self._objective_weights[self._steps] = weights
        return weights

    def objective_weights(self) -> Mapping[int, Mapping[str, float]]:
        return self._objective_weights

    def extra_checkpoint(self) -> dict[str, Any]:
        noted = {"steps": self._steps, "objective_weights": self._objective_weights}
        return {**super().extra_checkpoint(), **noted}

    def load_extra(self, extra: Mapping[str, Any]) -> None:
        self._steps = extra["steps"]
        self._objective_weights = dict(extra["objective_weights"])


class PrefixStep:
    """A step of `beam_search` that decodes the whole prefix of every beam again.

    Args:
        model: decodes.
        memory: what the model has encoded of the histories.
        users: number of histories.
    """

    def __init__(self, model: GenerativeRecommender, memory: Any, users: int) -> None:
        self.model, self.memory, self.users = model, memory, users
        self.prefixes: Tensor | None = None  # [users, beams, l]

    def __call__(self, tokens: Tensor, parents: Tensor) -> Tensor:
        """Tokens, parents `[users, beams]` -> logits `[users, beams, vocab_size]`."""
        beams = tokens.shape[1]
        self.prefixes = grown(self.prefixes, tokens, parents)
        history = torch.arange(self.users, device=tokens.device).repeat_interleave(beams)
        view = TargetView(None, history)
        logits = self.model.decode(self.memory, self.prefixes.flatten(0, 1), view)
        return logits[:, -1].unflatten(0, (self.users, beams))


def shift_right(labels: Tensor) -> Tensor:
    """Decoder inputs `[n, L]` for labels `[n, L]`: 0, then all labels but the last."""
    return F.pad(labels[:, :-1], (1, 0))
