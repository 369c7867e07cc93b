"""What the user of each test case had before it: all of it, not only what a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from recbole.data.dataset import Dataset
from torch import Tensor

HISTORY_END = "_history_end"  # column of inter_feat: where the target stands in the event table


@dataclass
class Histories:
    """The items before each test case, as stretches of one table.

    Attributes:
        items: the table `[n]`.
        start, end: where the stretch of each test case begins and ends `[n_cases]`.
    """

    items: Tensor
    start: Tensor
    end: Tensor

    def pairs(self, cases: Tensor) -> tuple[Tensor, Tensor]:
        """Place in `cases` and item id `[m]` of each item that one of them had before.

        An item that came several times is there as often.

        >>> items, start, end = (torch.tensor(x) for x in ([4, 5, 6], [0, 2], [2, 3]))
        >>> [part.tolist() for part in Histories(items, start, end).pairs(torch.tensor([1, 0]))]
        [[0, 1, 1], [6, 4, 5]]
        """
        lengths = self.end[cases] - self.start[cases]
        row = torch.arange(len(cases)).repeat_interleave(lengths)
        first = self.start[cases] - lengths.cumsum(0) + lengths
        return row, self.items[torch.arange(len(row)) + first[row]]

    @property
    def last(self) -> Tensor:
        """The item right before each test case `[n_cases]`, 0 where there is none."""
        found = self.items[(self.end - 1).clamp_min(0)]
        return found.masked_fill(self.end == self.start, 0)


def histories_by_user(users: Tensor, parts: Sequence[Dataset]) -> Histories:
    """All items that users `[n_cases]` have in some parts of a split, in no particular order."""
    uid_field, iid_field = parts[0].uid_field, parts[0].iid_field
    owners = torch.cat([part.inter_feat[uid_field] for part in parts])
    items = torch.cat([part.inter_feat[iid_field] for part in parts])
    owners, order = owners.sort(stable=True)
    start = torch.searchsorted(owners, users)
    return Histories(items[order], start, torch.searchsorted(owners, users, right=True))
