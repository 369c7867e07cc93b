"""What the vectors of items are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import reduce
from itertools import accumulate
from operator import add
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.items.needs import TEXT
from recbole_genrec.model.causal_transformer import STD
from recbole_genrec.model.item_texts import ItemTexts
from recbole_genrec.model.neighbor_vectors import NeighborLists, NeighborVectors
from recbole_genrec.tokenizer.table import SemanticIDTable

OWN, CODES, NEIGHBORS = "own", "codes", "neighbors"


class ItemVectors(nn.Module):
    r"""A vector of each item, the sum of up to four parts.

    .. math::
        v_i = o_i + \sum_{l=1}^{L} e_{l, c_l(i)} + W t_i + n_i

    where :math:`o_i` is the item's own, e are vectors of its codes in all sets of semantic IDs, W
    projects the embedding :math:`t_i` of its text, of length 1, and :math:`n_i` is what the items
    with the nearest texts have of their own (`NeighborVectors`).

    Args:
        parts: which of them, "own", "codes", "text" and "neighbors".
        size: d.
        tables: the sets of semantic IDs by name, which belong to the model.
        texts: of the items, where a part is made of them; they belong to the model.
        lists: of neighbors, where these are a part; they belong to the model.
        own_dropout: share of items that are without their own vector in training.
    """

    def __init__(
        self,
        parts: Collection[str],
        size: int,
        tables: Mapping[str, SemanticIDTable],
        texts: ItemTexts | None = None,
        lists: NeighborLists | None = None,
        own_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.size, self.tables, self.own_dropout = size, tables, own_dropout
        self._given = texts, lists  # in a tuple, as they are no modules of this one
        n_items = next(iter(tables.values())).num_items
        vocab_size = sum(table.vocab_size for table in tables.values())
        self.own = nn.Embedding(n_items, size) if OWN in parts else None
        self.codes = nn.Embedding(vocab_size, size) if CODES in parts else None
        for embedding in filter(None, (self.own, self.codes)):
            nn.init.normal_(embedding.weight, std=STD)
        self.projection = None
        if TEXT in parts and texts is not None:
            self.projection = nn.Linear(texts.vectors.shape[1], size, bias=False)
            nn.init.normal_(self.projection.weight, std=STD)
        self.neighbors = None if lists is None else NeighborVectors(size, lists)
        self._kept: tuple[list[tuple[Tensor, int]], Tensor] | None = None

    @property
    def text(self) -> Tensor | None:
        """Embeddings of texts, of length 1 `[n_items, d_text]`."""
        texts, _ = self._given
        return None if texts is None else texts.vectors

    def forward(self, items: Tensor | None = None) -> Tensor:
        """Vectors `[m, d]` of the items `[m]`, of all by default."""
        parts = []
        if self.own is not None:
            own = _rows(self.own.weight, items)
            if self.training and self.own_dropout:
                own = own * (torch.rand_like(own[:, :1]) >= self.own_dropout)
            parts.append(own)
        if self.codes is not None:
            parts.append(F.embedding_bag(self.tokens(items), self.codes.weight, mode="sum"))
        if self.text is not None and self.projection is not None:
            parts.append(self.projection(_rows(self.text, items)))
        if self.own is not None and self.neighbors is not None:
            parts.append(self.neighbors(self.own.weight, items))
        return reduce(add, parts)

    def train(self, mode: bool = True) -> ItemVectors:
        if mode:
            self._kept = None  # fused optimizers change weights without a new version
        return super().train(mode)

    @torch.no_grad()
    def kept(self) -> Tensor:
        """Vectors of all items, without gradients, made anew when a weight or a code changes."""
        if self.training:  # when something may be left out
            return self()
        given = filter(None, (*self.tables.values(), *self._given))
        sources = [*self.parameters(), *(buffer for each in given for buffer in each.buffers())]
        versions = [source._version for source in sources]
        if self._kept is not None:
            before, vectors = self._kept
            same = len(before) == len(sources) and all(
                own is source and number == version
                for (own, number), source, version in zip(before, sources, versions, strict=True)
            )
            if same:
                return vectors
        vectors = self()
        self._kept = list(zip(sources, versions, strict=True)), vectors
        return vectors

    def tokens(self, items: Tensor | None = None) -> Tensor:
        """Tokens of all sets of IDs side by side `[m, L]`, those of each set after the last."""
        tables = self.tables.values()
        first = accumulate((table.vocab_size for table in tables), initial=0)
        tokens = (table.tokens if items is None else table.tokens[items] for table in tables)
        return torch.cat([own + start for own, start in zip(tokens, first, strict=False)], 1)

    def parts_of_scores(self, states: Tensor, items: Tensor) -> dict[str, Tensor]:
        """What the products of states `[n, d]` and vectors of items `[n, k]` are the sum of."""
        parts = {}
        if self.own is not None:
            own = F.embedding(items, self.own.weight)  # [n, k, d]
            parts["own vector"] = torch.einsum("nd,nkd->nk", states, own)
        if self.codes is not None:
            tokens = self.tokens(items.flatten()).unflatten(0, items.shape)  # [n, k, L]
            by_code = F.linear(states, self.codes.weight)  # [n, vocab_size]
            levels = [
                f"{name} level {number}".strip()
                for name, table in self.tables.items()
                for number in range(1, table.num_levels + 1)
            ]
            values = by_code.gather(1, tokens.flatten(1)).view(tokens.shape)
            parts |= dict(zip(levels, values.unbind(2), strict=True))
        if self.text is not None and self.projection is not None:
            by_text = states @ self.projection.weight  # [n, d_text]
            parts["text"] = torch.einsum("nd,nkd->nk", by_text, F.embedding(items, self.text))
        if self.own is not None and self.neighbors is not None:
            near = self.neighbors(self.own.weight, items.flatten()).unflatten(0, items.shape)
            parts["own vectors of neighbors"] = torch.einsum("nd,nkd->nk", states, near)
        return parts

    def add_items(self, number: int) -> None:
        """Make room for further items, whose own vectors are zero."""
        if self.own is not None:
            self._set_own(F.pad(self.own.weight.detach(), (0, 0, 0, number)))

    def ties(self, number: int) -> int:
        """How many of the last `number` items have the vector of another one of them."""
        n_items = next(iter(self.tables.values())).num_items
        last = torch.arange(n_items - number, n_items, device=self.tokens().device)
        _, counts = self(last).unique(dim=0, return_counts=True)
        return int(counts[counts > 1].sum())

    def _set_own(self, weight: Tensor) -> None:
        self.own = nn.Embedding.from_pretrained(weight, freeze=False)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Take over what a checkpoint has of all of its items, also where it has others."""
        names = ("own", "projection")
        own, projection = (state_dict.get(f"{prefix}{name}.weight") for name in names)
        if self.own is not None and own is not None:
            rows, width = self.own.weight.shape
            if len(own) != rows and own.shape[1:] == (width,):
                self._set_own(self.own.weight.new_zeros(own.shape))
        if self.projection is not None and projection is not None:
            rows, width = projection.shape
            if rows == self.size and width != self.projection.in_features:
                self.projection = nn.Linear(width, rows, bias=False)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _rows(table: Tensor, items: Tensor | None) -> Tensor:
    return table if items is None else F.embedding(items, table)
