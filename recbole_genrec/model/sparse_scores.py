"""Scores of a few items of each row, to be added to those of all."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class SparseScores(NamedTuple):
    """What some items of each row get beside their score, such as those of a history.

    An item may stand in a row several times, and gets the sum.

    Attributes:
        items: `[n, m]`, 0 where there is none.
        values: `[n, m]`.
    """

    items: Tensor
    values: Tensor

    def add_to(self, scores: Tensor, columns: Tensor | None = None) -> Tensor:
        """Add to scores `[n, n_columns]`, in place.

        Args:
            scores: column = item id, unless `columns` are given.
            columns: the column of each item `[n_items]`, -1 for those that have none.
        """
        place, present = self.items, self.items > 0
        if columns is not None:
            place = columns[place]
            present = present & (place >= 0)
            place = place.clamp(min=0)
        values = self.values.to(scores.dtype).masked_fill(~present, 0.0)
        return scores.scatter_add_(1, place, values)

    def of(self, items: Tensor) -> Tensor:
        """What the given items get `[n, k]`, found by a sort of them: memory grows with k + m.

        Args:
            items: `[n, k]`; an item may stand in a row several times.

        >>> row = SparseScores(torch.tensor([[3, 5, 3, 0]]), torch.tensor([[1.0, 2.0, 4.0, 8.0]]))
        >>> row.of(torch.tensor([[3, 5, 7]]))
        tensor([[5., 2., 0.]])
        """
        if items.shape[1] == 1:  # as for targets of a loss: faster without a sort
            same = (self.items == items) & (items > 0)
            return torch.where(same, self.values, 0.0).sum(1, keepdim=True)
        ranked = items.sort(1).values
        place = torch.searchsorted(ranked, self.items.contiguous()).clamp(max=items.shape[1] - 1)
        asked = (ranked.gather(1, place) == self.items) & (self.items > 0)  # [n, m]
        values = self.values.masked_fill(~asked, 0.0)
        sums = values.new_zeros(items.shape).scatter_add(1, place, values)
        return sums.gather(1, torch.searchsorted(ranked, items.contiguous()))

    @classmethod
    def join(cls, parts: list[SparseScores]) -> SparseScores:
        """All of them in one."""
        items, values = zip(*parts, strict=True)
        return cls(torch.cat(items, 1), torch.cat(values, 1))
