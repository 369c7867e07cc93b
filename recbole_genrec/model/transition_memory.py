"""What followed the last items of a history in training, as scores of a few items."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.model.sparse_scores import SparseScores


class TransitionMemory(nn.Module):
    r"""Adds to the score of item i, after a state s and the items :math:`a_0, a_1, ...` before it

    .. math::
        \sum_{j=0}^{J-1} w_j(s) \log(1 + n_j(a_j, i)), \qquad w(s) = W s + b

    where :math:`a_j` stands j steps back from the last item and :math:`n_j(a, i)` is how often i
    came as the next item when a stood there. Only the most frequent followers of an item count. In
    training a count leaves out the target's own transition.

    The counts are kept as lists of followers, the most frequent first, one after the other: their
    size grows with the interactions and not with the square of the items.

    Args:
        hidden_size: of the states.
        n_items: of the catalogue, with the padding item.
        steps: J, from how many items back transitions count.
        followers: of an item that count, the most frequent; of equal ones those of lower number.

    Attributes:
        starts: where the list of item a and step j begins, at a * steps + j
            `[n_items * steps + 1]`.
        items, counts: of all lists, end to end. Loading weights takes over their length.
    """

    starts: Tensor
    items: Tensor
    counts: Tensor

    def __init__(self, hidden_size: int, n_items: int, steps: int, followers: int) -> None:
        super().__init__()
        self.steps, self.followers = steps, followers
        self.weight = nn.Parameter(torch.zeros(steps, hidden_size))
        self.bias = nn.Parameter(torch.zeros(steps))
        self.register_buffer("starts", torch.zeros(n_items * steps + 1, dtype=torch.long))
        self.register_buffer("items", torch.zeros(0, dtype=torch.int))
        self.register_buffer("counts", torch.zeros(0, dtype=torch.int))
        self._measured: tuple[Tensor | None, int] = (None, 0)

    @property
    def n_items(self) -> int:
        """Number of items, the padding item included."""
        return (len(self.starts) - 1) // self.steps

    def forward(self, states: Tensor, seen: Tensor, targets: Tensor | None = None) -> SparseScores:
        """The scores of the followers, `steps * followers` of each row.

        Args:
            states: `[n, d]`.
            seen: items `[n, >= 1]`, the last one first; 0 behind the first of a history.
            targets: in training, the item of each row that is to be predicted `[n]`.
        """
        items, counts = self.following(seen)  # [n, steps, followers]
        if targets is not None:
            counts = counts - (items == targets.view(-1, 1, 1)).to(counts.dtype)
        weights = F.linear(states, self.weight, self.bias).unsqueeze(2)  # [n, steps, 1]
        values = weights * counts.clamp(min=0).to(weights.dtype).log1p()
        return SparseScores(items.flatten(1), values.flatten(1))

    def following(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The followers of the last items and their counts `[n, steps, width]`, 0 for none."""
        anchors = F.pad(seen, (0, self.steps))[:, : self.steps]
        row = anchors * self.steps + torch.arange(self.steps, device=seen.device)
        start, end = self.starts[row].unsqueeze(2), self.starts[row + 1].unsqueeze(2)
        width = min(self.followers, self._longest())
        place = start + torch.arange(width, device=seen.device)
        missing = place >= end
        place = place.masked_fill(missing, 0)
        items = self.items[place].long().masked_fill(missing, 0)
        return items, self.counts[place].masked_fill(missing, 0)

    @torch.no_grad()
    def append(self, before: Tensor, after: Tensor) -> None:
        """Count further transitions.

        Args:
            before: items j = 0, 1, .. steps back `[n, <= steps]`, 0 for none.
            after: the item that came next `[n]`.
        """
        device = self.starts.device
        before = F.pad(before, (0, max(0, self.steps - before.shape[1]))).to(device)
        after = after.to(device)
        row = before * self.steps + torch.arange(self.steps, device=device)
        there = before > 0
        keys = row * self.n_items + after.unsqueeze(1)  # of (a, j, i)
        self._set(
            torch.cat([self._keys(), keys[there]]),
            torch.cat([self.counts.long(), there.new_ones(int(there.sum()), dtype=torch.long)]),
        )

    def add_items(self, number: int) -> None:
        """Make room for further items, which nothing has followed yet."""
        self.starts = F.pad(self.starts, (0, number * self.steps), value=int(self.starts[-1]))

    def _longest(self) -> int:
        """The length of the longest list."""
        if self._measured[0] is not self.starts:  # which change as a whole
            self._measured = self.starts, int(self.starts.diff().max())
        return self._measured[1]

    def _keys(self) -> Tensor:
        lengths = self.starts.diff()
        row = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
        return row * self.n_items + self.items

    def _set(self, keys: Tensor, counts: Tensor) -> None:
        """Make the lists from keys, which may repeat, and what each counts."""
        keys, place = keys.unique(return_inverse=True)
        counts = torch.zeros_like(keys).index_add_(0, place, counts)
        most_first = counts.argsort(descending=True, stable=True)  # keys are in order already
        row = keys.div(self.n_items, rounding_mode="floor")
        order = most_first[row[most_first].argsort(stable=True)]
        lengths = torch.bincount(row, minlength=len(self.starts) - 1)
        self.starts = F.pad(lengths.cumsum(0), (1, 0))
        self.items = (keys[order] % self.n_items).int()
        self.counts = counts[order].int()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Take over the lists of a checkpoint, whatever their length."""
        for name in ("starts", "items", "counts"):
            loaded = state_dict.get(f"{prefix}{name}")
            if loaded is not None and loaded.dim() == 1:
                setattr(self, name, getattr(self, name).new_empty(loaded.shape))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
