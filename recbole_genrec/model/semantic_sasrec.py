r"""
SemanticSASRec
################################################

A model of this package, not of a paper. It stands on

Reference:
    Wang-Cheng Kang et al. "Self-Attentive Sequential Recommendation." in ICDM 2018.
    "Unified Semantic and ID Representation Learning for Deep Recommenders." arXiv 2502.16474,
    which joins semantic IDs with a vector per item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn import functional as F

from recbole_genrec.errors import refuse
from recbole_genrec.items.needs import COLLABORATIVE, TEXT, Embeddings, Need, Tokens, main_set
from recbole_genrec.loss import LossContext
from recbole_genrec.model.auxiliary_losses import WEIGHTS, AuxiliaryLosses, check_auxiliary
from recbole_genrec.model.export import export_vectors
from recbole_genrec.model.item_index import ItemIndex
from recbole_genrec.model.item_level_recommender import ItemLevelRecommender
from recbole_genrec.model.item_softmax import (
    SCORES,
    ItemSampler,
    mean_in_chunks,
    number_of_draws,
    sampled_softmax_loss,
)
from recbole_genrec.model.item_vectors import CODES, NEIGHBORS, OWN, ItemVectors
from recbole_genrec.model.neighbor_vectors import NeighborLists
from recbole_genrec.model.parallel_recommender import best
from recbole_genrec.model.text_neighbors import nearest_texts


class SemanticSASRec(ItemLevelRecommender):
    r"""SASRec whose item vectors grow from semantic IDs.

    .. math::
        v_i = o_i + \sum_{l=1}^{L} e_{l, c_l(i)} + W t_i + n_i

    where :math:`o_i` is the item's own vector, e are vectors of its codes, in one set of semantic
    IDs or several (`further_ids`), :math:`W t_i` is the projected embedding of its text and
    :math:`n_i` a mean of the own vectors of the items with the nearest texts; the same at input and
    output (`shared_vectors`), see `ItemVectors`. A causal transformer makes a state s after each
    item of the history, and

    .. math::
        \mathcal{L} = - \log \mathrm{softmax}_i (s^\top v_i + b_i + m_i + t_i)

    over all items trains every position in one pass. b is the learned bias of items that stand in
    the history (`RepeatBias`), m what followed its last items in training (`TransitionMemory`), t
    what has texts like theirs (`TextNeighbors`). Where items are too many, the softmax is over a
    sample of them (`sampled_items`). A new item has a zero own vector and lives from the rest.
    """

    training_only = ("auxiliary",)

    @classmethod
    def check_config(cls, config) -> None:
        super().check_config(config)
        names = config["further_ids"] or []
        if len(set(names)) < len(names) or not all(map(str.isidentifier, names)):
            refuse("further_ids", "a list of names, each once", names)
        if config["code_loss_weight"] and CODES not in config["item_vectors"]:
            found = config["code_loss_weight"]
            refuse("code_loss_weight", "0, as item_vectors hold no codes", found)
        if names and CODES not in config["item_vectors"]:
            refuse("further_ids", "empty, as item_vectors hold no codes", names)
        if config["own_vector_dropout"] and OWN not in config["item_vectors"]:
            found = config["own_vector_dropout"]
            refuse("own_vector_dropout", "0, as item_vectors hold no own", found)
        if NEIGHBORS in config["item_vectors"] and OWN not in config["item_vectors"]:
            expected = "a list with own beside neighbors, whose own vectors they are"
            refuse("item_vectors", expected, config["item_vectors"])
        check_auxiliary(config)

    @classmethod
    def needs(cls, config) -> Sequence[Need]:
        unique = OWN not in config["item_vectors"]
        needs: list[Need] = [main_set(config, unique)]
        for name in config["further_ids"] or []:
            source = COLLABORATIVE if name == COLLABORATIVE else TEXT
            needs.append(Tokens(name, source, unique))
        if {TEXT, NEIGHBORS} & set(config["item_vectors"]) or config["neighbor_steps"]:
            needs.append(Embeddings(TEXT))
        if config["recommender_distillation_weight"]:
            needs.append(Embeddings(COLLABORATIVE))
        return needs

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.uses = config["item_vectors"]
        self.neighbor_lists = self._new_lists(config["neighbors"])
        self.item_vectors, self.input_vectors = self._new_vectors(config), None
        if not config["shared_vectors"]:
            self.input_vectors = self._new_vectors(config)
        self.transformer = self.new_transformer(config, config["gated"], config["filter_weight"])
        self.index_from = config["index_from"]
        self._index: tuple[int, ItemIndex] | None = None  # with the number of items
        self.register_load_state_dict_pre_hook(SemanticSASRec._forget_index)
        draws = number_of_draws(config["sampled_items"], self.n_items)
        self.sampler = ItemSampler(dataset.target_counts, draws) if draws else None
        self.auxiliary = None
        if any(config[weight] for weight in WEIGHTS) and dataset.target_counts.any():
            self.auxiliary = self._new_auxiliary(config, dataset)

    def _new_lists(self, number: int) -> NeighborLists | None:
        """Those of item vectors: at first those of the scores, which new items change."""
        if NEIGHBORS not in self.uses:
            return None
        text = self.known_texts()
        if text is None:
            none = torch.zeros(self.n_items, 0)
            return NeighborLists(none.int(), none)
        if self.neighbors is not None:
            return NeighborLists(self.neighbors.items, self.neighbors.likeness)
        return NeighborLists(*nearest_texts(text, number))

    def _new_vectors(self, config) -> ItemVectors:
        size, dropout = config["hidden_size"], config["own_vector_dropout"]
        given = self.texts, self.neighbor_lists
        return ItemVectors(self.uses, size, self.tables(), *given, dropout)

    def _new_auxiliary(self, config, dataset) -> AuxiliaryLosses:
        text, teacher = map(self.given, (TEXT, COLLABORATIVE))
        context = LossContext(self.ids.tokens, self.ids.sizes, text, dataset.target_counts)
        return AuxiliaryLosses(config, config["hidden_size"], context, teacher)

    def vectors_of(self, items: Tensor) -> Tensor:
        vectors = self.input_vectors or self.item_vectors
        return vectors(items.to(self.ids.tokens.device))

    def scores_of(self, states: Tensor, items: Tensor | None = None) -> Tensor:
        if torch.is_grad_enabled():
            return F.linear(states, self.item_vectors(items))
        vectors = self.item_vectors.kept()
        return F.linear(states, vectors if items is None else vectors[items])

    def parts_of_scores(self, states: Tensor, items: Tensor) -> dict[str, Tensor]:
        return self.item_vectors.parts_of_scores(states, items)

    def calculate_loss(self, interaction: Interaction) -> Tensor | tuple[Tensor, ...]:
        targets = self.next_items(interaction).to(self.ids.tokens.device)
        items, lengths = self.history_items(interaction)
        items, seen = items.to(targets.device), self.seen(interaction)
        vectors = self.item_vectors() if self.sampler is None else None  # of all items
        shared = vectors if self.input_vectors is None else None

        def read() -> Tensor:
            inputs = self.vectors_of(items) if shared is None else F.embedding(items, shared)
            return self.transformer(inputs, lengths)

        states = read()
        if vectors is not None:
            loss = self._full_loss(states, targets, seen, vectors)
        else:
            loss = self._sampled_loss(states, targets, seen)
        if self.auxiliary is None:
            return loss
        last = (lengths.cumsum(0) - 1).to(targets.device)
        codes = self.item_vectors.codes and self.item_vectors.codes.weight
        further = self.auxiliary(states, targets, last, read, codes, self.ids.tokens[targets])
        return (loss, *further)

    def _full_loss(self, states: Tensor, targets: Tensor, seen: Tensor, vectors: Tensor) -> Tensor:
        def loss(states: Tensor, targets: Tensor, seen: Tensor, vectors: Tensor) -> Tensor:
            """Of some targets, summed; the padding item is none to choose from."""
            logits = self.add(F.linear(states, vectors), states, seen, targets)
            return F.cross_entropy(logits[:, 1:].float(), targets - 1, reduction="sum")

        rows = max(1, SCORES // len(vectors))
        return mean_in_chunks(loss, rows, (states, targets, seen), (vectors,))

    def _sampled_loss(self, states: Tensor, targets: Tensor, seen: Tensor) -> Tensor:
        items, log_weights = self.sampler.draw()
        columns = torch.full((self.n_items,), -1, device=items.device)
        columns[items] = torch.arange(len(items), device=items.device)

        def loss(states: Tensor, own: Tensor, targets: Tensor, seen: Tensor, vectors: Tensor):
            added = self.additions(states, seen, targets)
            return sampled_softmax_loss(
                states, own, targets, vectors, items, log_weights, columns, added
            )

        per_target = (states, self.item_vectors(targets), targets, seen)
        rows = max(1, SCORES // len(items))
        return mean_in_chunks(loss, rows, per_target, (self.item_vectors(items),))

    @torch.no_grad()
    def validation_loss(self, interaction: Interaction) -> Tensor:
        """Cross-entropy of the next items over all items, also where training samples some.

        A `repeat_bias` that is a mask spares the targets, as in training.
        """
        (states, seen), targets = self.last_states(interaction), interaction[self.ITEM_ID]
        scores = self.add(self.scores_of(states), states, seen, targets, counted=False)
        return F.cross_entropy(scores[:, 1:], targets - 1)

    def on_step_end(self) -> None:
        if self.auxiliary is not None:
            self.auxiliary.on_step_end()

    @torch.no_grad()
    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As of any model; of very many items (`index_from`) those that an index finds.

        All items that repeat bias, memory and text neighbors speak of are candidates too, and all
        candidates are scored exactly.
        """
        if allowed is not None or self.n_items <= self.index_from:
            return super().recommend(interaction, k, allowed)
        states, seen = self.last_states(interaction)
        additions = self.additions(states, seen)
        spoken_of = seen[:, :0] if additions is None else additions.items
        wide = k + spoken_of.shape[1]  # of which some may fall behind by what is added to them
        found = torch.cat([self.index().search(states, wide), spoken_of], 1).sort(1).values
        repeated = F.pad(found.diff(dim=1) == 0, (1, 0))
        vectors = F.embedding(found, self.item_vectors.kept())
        scores = torch.einsum("nd,ncd->nc", states, vectors)
        if additions is not None:
            scores = scores + additions.of(found)
        places, scores = best(scores.masked_fill(repeated | (found == 0), -torch.inf), k)
        found = found.gather(1, places).masked_fill(scores == -torch.inf, 0)
        missing = (0, k - found.shape[1])
        return F.pad(found, missing), F.pad(scores, missing, value=-torch.inf)

    def index(self) -> ItemIndex:
        """That of the item vectors; made anew after training, loading and new items."""
        if self._index is None or self._index[0] != self.n_items:
            self._index = self.n_items, ItemIndex(self.item_vectors.kept())
        return self._index[1]

    def train(self, mode: bool = True) -> SemanticSASRec:
        if mode:
            self._index = None
        return super().train(mode)

    def codes_of_new_items(self, name: str, embeddings: Mapping[str, Tensor]) -> Tensor:
        """As of any model; in a set whose embeddings or tokenizer are not there, those of the known
        item that is nearest by the main set, with which it shares the most leading codes."""
        encodes = self._sources[name] in embeddings and name in self.items.tokenizers
        if not name or encodes:
            return super().codes_of_new_items(name, embeddings)
        wanted = super().codes_of_new_items("", embeddings)  # [m, L]
        known = self.ids.codes[1:, : wanted.shape[1]]
        shared = [(known == own).cumprod(1).sum(1) for own in wanted.to(known.device)]
        nearest = torch.stack([row.argmax() for row in shared]) + 1
        return self.tables()[name].codes[nearest]

    def add_items(
        self, tokens: Sequence[str], titles: Sequence[str], embeddings: Mapping[str, Tensor]
    ) -> None:
        super().add_items(tokens, titles, embeddings)
        for vectors in filter(None, (self.item_vectors, self.input_vectors)):
            vectors.add_items(len(tokens))
        if self.texts is not None and self.neighbor_lists is not None:
            self.neighbor_lists.add_items(self.texts.vectors, self.item_vectors.own.weight)
        tied = self.item_vectors.ties(len(tokens))
        if tied:
            self.logger.warning(
                f"{tied} new items tie, as nothing in item_vectors {self.uses} tells them "
                "apart: lists have them in the order of their numbers"
            )

    def export(self, folder: Path) -> None:
        export_vectors(self.item_vectors(), folder)

    def _forget_index(self, *_) -> None:
        self._index = None
