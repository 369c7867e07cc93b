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
from functools import reduce
from itertools import accumulate
from operator import add
from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.errors import refuse
from recbole_genrec.items.needs import COLLABORATIVE, TEXT, Need, Tokens
from recbole_genrec.model.causal_transformer import STD
from recbole_genrec.model.item_index import ItemIndex
from recbole_genrec.model.item_level_recommender import ItemLevelRecommender
from recbole_genrec.model.item_softmax import (
    SCORES,
    ItemSampler,
    mean_in_chunks,
    number_of_draws,
    sampled_softmax_loss,
)
from recbole_genrec.model.parallel_recommender import best


class SemanticSASRec(ItemLevelRecommender):
    r"""SASRec whose item vectors grow from semantic IDs.

    .. math::
        v_i = o_i + \sum_{l=1}^{L} e_{l, c_l(i)}

    where :math:`o_i` is the item's own vector and e are vectors of its codes, in one set of
    semantic IDs or several (`further_ids`), the same at input and output. A causal transformer
    makes a state s after each item of the history, and

    .. math::
        \mathcal{L} = - \log \mathrm{softmax}_i (s^\top v_i + b_i + m_i)

    over all items trains every position in one pass. b is the learned bias of items that stand in
    the history (`RepeatBias`), m what followed its last items in training (`TransitionMemory`).
    Where items are too many, the softmax is over a sample of them (`sampled_items`). A new item has
    a zero own vector and lives from its codes.
    """

    @classmethod
    def check_config(cls, config) -> None:
        super().check_config(config)
        names = config["further_ids"] or []
        if len(set(names)) < len(names) or not all(map(str.isidentifier, names)):
            refuse("further_ids", "a list of names, each once", names)

    @classmethod
    def needs(cls, config) -> Sequence[Need]:
        further = (
            Tokens(name, COLLABORATIVE if name == COLLABORATIVE else TEXT)
            for name in config["further_ids"] or []
        )
        return (Tokens(), *further)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        d = config["hidden_size"]
        uses = config["item_vectors"]
        vocab_size = sum(table.vocab_size for table in self.tables().values())
        self.own_vectors = nn.Embedding(self.n_items, d) if uses != "codes" else None
        self.code_vectors = nn.Embedding(vocab_size, d) if uses != "own" else None
        for embedding in filter(None, (self.own_vectors, self.code_vectors)):
            nn.init.normal_(embedding.weight, std=STD)
        self.own_dropout = config["own_vector_dropout"]
        self.transformer = self.new_transformer(config, config["gated"])
        self.index_from = config["index_from"]
        self._index: tuple[int, ItemIndex] | None = None  # with the number of items
        draws = number_of_draws(config["sampled_items"], self.n_items)
        self.sampler = ItemSampler(dataset.target_counts, draws) if draws else None

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Vectors `[m, d]` of the items `[m]`, of all by default.

        In training some are left without their own (`own_vector_dropout`).
        """
        parts = []
        if self.own_vectors is not None:
            own = self.own_vectors.weight
            own = own if items is None else F.embedding(items, own)
            if self.training and self.own_dropout:
                own = own * (torch.rand_like(own[:, :1]) >= self.own_dropout)
            parts.append(own)
        if self.code_vectors is not None:
            tokens = self.all_tokens(items)
            parts.append(F.embedding_bag(tokens, self.code_vectors.weight, mode="sum"))
        return reduce(add, parts)

    def all_tokens(self, items: Tensor | None = None) -> Tensor:
        """Tokens of all sets of IDs side by side `[m, L]`, those of each set after the last."""
        tables = self.tables().values()
        first = accumulate((table.vocab_size for table in tables), initial=0)
        tokens = (table.tokens if items is None else table.tokens[items] for table in tables)
        return torch.cat([own + start for own, start in zip(tokens, first, strict=False)], 1)

    def vectors_of(self, items: Tensor) -> Tensor:
        return self.item_vectors(items.to(self.ids.tokens.device))

    def scores_of(self, states: Tensor, items: Tensor | None = None) -> Tensor:
        return F.linear(states, self.item_vectors(items))

    def parts_of_scores(self, states: Tensor, items: Tensor) -> dict[str, Tensor]:
        parts = {}
        if self.own_vectors is not None:
            own = F.embedding(items, self.own_vectors.weight)  # [n, k, d]
            parts["own vector"] = torch.einsum("nd,nkd->nk", states, own)
        if self.code_vectors is not None:
            tokens = self.all_tokens(items.flatten()).unflatten(0, items.shape)  # [n, k, L]
            by_code = F.linear(states, self.code_vectors.weight)  # [n, vocab_size]
            levels = [
                f"{name} level {number}".strip()
                for name, table in self.tables().items()
                for number in range(1, table.num_levels + 1)
            ]
            values = by_code.gather(1, tokens.flatten(1)).view(tokens.shape)
            parts |= dict(zip(levels, values.unbind(2), strict=True))
        return parts

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        targets = self.next_items(interaction).to(self.ids.tokens.device)
        if self.sampler is not None:
            return self._sampled_loss(interaction, targets, self.sampler)
        vectors = self.item_vectors()
        items, lengths = self.history_items(interaction)
        states = self.transformer(F.embedding(items.to(targets.device), vectors), lengths)

        def loss(states: Tensor, targets: Tensor, seen: Tensor, vectors: Tensor) -> Tensor:
            """Of some targets, summed; the padding item is none to choose from."""
            logits = self.add(F.linear(states, vectors), states, seen, targets)
            return F.cross_entropy(logits[:, 1:].float(), targets - 1, reduction="sum")

        rows = max(1, SCORES // len(vectors))
        return mean_in_chunks(loss, rows, (states, targets, self.seen(interaction)), (vectors,))

    def _sampled_loss(
        self, interaction: Interaction, targets: Tensor, sampler: ItemSampler
    ) -> Tensor:
        states, seen = self.states(interaction), self.seen(interaction)
        items, log_weights = sampler.draw()
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
    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As of any model; of very many items (`index_from`) those that an index finds.

        All items that repeat bias and memory speak of are candidates too, and all candidates are
        scored exactly.
        """
        if allowed is not None or self.n_items <= self.index_from:
            return super().recommend(interaction, k, allowed)
        states, seen = self.last_states(interaction)
        additions = self.additions(states, seen)
        spoken_of = seen[:, :0] if additions is None else additions.items
        wide = k + spoken_of.shape[1]  # of which some may fall behind by what is added to them
        found = torch.cat([self.index().search(states, wide), spoken_of], 1).sort(1).values
        repeated = F.pad(found.diff(dim=1) == 0, (1, 0))
        vectors = self.item_vectors(found.flatten()).unflatten(0, found.shape)
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
            self._index = self.n_items, ItemIndex(self.item_vectors())
        return self._index[1]

    def train(self, mode: bool = True) -> SemanticSASRec:
        if mode:
            self._index = None
        return super().train(mode)

    def codes_of_new_items(self, name: str, embeddings: Mapping[str, Tensor]) -> Tensor:
        """As of any model; in a set whose embeddings are not given, those of the known item that is
        nearest by the main set, with which it shares the most leading codes."""
        if not name or self._sources[name] in embeddings:
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
        if self.own_vectors is not None:
            weight = F.pad(self.own_vectors.weight.detach(), (0, 0, 0, len(tokens)))
            self.own_vectors = nn.Embedding.from_pretrained(weight, freeze=False)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Take over the own vectors of all items of the checkpoint, also where it has others."""
        self._index = None
        loaded = state_dict.get(f"{prefix}own_vectors.weight")
        if self.own_vectors is not None and loaded is not None:
            rows, width = self.own_vectors.weight.shape
            if loaded.shape[1:] == (width,) and len(loaded) != rows:
                weight = self.own_vectors.weight.new_zeros(loaded.shape)
                self.own_vectors = nn.Embedding.from_pretrained(weight, freeze=False)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
