"""Histories of unequal lengths laid into rows of equal width, so that no work goes into padding."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import torch

MASKED = -30_000.0  # finite in float16 too: a query without keys must not become NaN


@dataclass
class Packing:
    """Where every token of every history stands in the packed rows.

    Each row holds whole histories one after another, so the distance of two tokens of one history
    in the row is their distance in the history, which is all that T5's relative bias asks for.

    Attributes:
        slot: [total_tokens] place of each history token among the rows * width slots.
        row: [batch] the row of each history.
        history: [rows, width] the history in each slot, -1 in an empty one.
        position: [rows, width] the token's position in its history, 0 in an empty slot.
    """

    slot: torch.Tensor
    row: torch.Tensor
    history: torch.Tensor
    position: torch.Tensor

    def to(self, device: torch.device) -> Packing:
        return Packing(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    @property
    def lengths(self) -> torch.Tensor:
        """[batch] tokens of each history."""
        return self.history[self.history >= 0].bincount()

    def spread(self, tokens: torch.Tensor) -> torch.Tensor:
        """[total_tokens, d] -> [rows, width, d], zeros in the empty slots."""
        rows = tokens.new_zeros(self.history.numel(), tokens.shape[-1])
        return rows.index_copy_(0, self.slot, tokens).view(*self.history.shape, -1)

    def self_mask(self, tokens_per_item: int | None) -> torch.Tensor:
        """[rows, width, width] True where a query slot (dim 1) may look at a key slot (dim 2).

        A token sees its own history only; with tokens_per_item also none of the later items.
        """
        mask = self.history.unsqueeze(2) == self.history.unsqueeze(1)
        if tokens_per_item is not None:
            item = self.position // tokens_per_item
            mask &= item.unsqueeze(2) >= item.unsqueeze(1)
        return mask


@dataclass
class Targets:
    """Where the targets of a batch stand beside the packed histories they are predicted from.

    Attributes:
        slot: [n_targets] place of each target among the rows * per_row target slots.
        per_row: target slots of one row.
        mask: [rows, per_row, width] True where the target in the slot may look at the history slot.
        distance: [rows, per_row, width] tokens from there to the last one the target may look at.
    """

    slot: torch.Tensor
    per_row: int
    mask: torch.Tensor
    distance: torch.Tensor

    def to(self, device: torch.device) -> Targets:
        moved = (self.slot.to(device), self.mask.to(device), self.distance.to(device))
        return Targets(moved[0], self.per_row, *moved[1:])

    def spread(self, queries: torch.Tensor) -> torch.Tensor:
        """[n_targets, length, d] -> [rows, per_row * length, d], zeros in the empty slots."""
        _, length, d = queries.shape
        rows = queries.new_zeros(self.mask.shape[0] * self.per_row, length * d)
        rows.index_copy_(0, self.slot, queries.flatten(1))
        return rows.view(-1, self.per_row * length, d)

    def gather(self, rows: torch.Tensor, length: int) -> torch.Tensor:
        """[rows, per_row * length, d] -> [n_targets, length, d]."""
        d = rows.shape[-1]
        flat = rows.reshape(-1, length * d).index_select(0, self.slot)
        return flat.view(-1, length, d)


def check_lengths(lengths: torch.Tensor, history: torch.Tensor) -> None:
    """Raises a ValueError unless the lengths [batch] divide history [total_tokens, d] up."""
    if len(lengths) == 0 or int(lengths.min()) < 1:
        raise ValueError(f"histories must hold at least one token, got lengths {lengths.tolist()}")
    if int(lengths.sum()) != len(history):
        raise ValueError(
            f"the lengths of the histories add up to {int(lengths.sum())} tokens, but "
            f"{len(history)} token embeddings were given"
        )


def pack(lengths: torch.Tensor) -> Packing:
    """Packs histories of the given lengths [batch], on the host, into rows as wide as the longest.

    Longest first, each history goes into the row with most room left (worst fit decreasing): the
    short ones fill the gaps evenly, so that rows also hold about equally many targets.
    """
    width = int(lengths.max())
    rows = [(-width, row) for row in range(-(-int(lengths.sum()) // width))]  # (-room, row) heap
    placed = []  # (history, row, start)
    sizes = lengths.tolist()
    for history in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
        if -rows[0][0] < sizes[history]:
            heapq.heappush(rows, (-width, len(rows)))
        room, row = rows[0]
        placed.append((history, row, width + room))
        heapq.heapreplace(rows, (room + sizes[history], row))
    _, row_of, start_of = torch.tensor(sorted(placed)).unbind(1)
    history_of = torch.arange(len(lengths)).repeat_interleave(lengths)
    position = torch.arange(len(history_of)) - (lengths.cumsum(0) - lengths)[history_of]
    slot = (row_of * width + start_of)[history_of] + position
    histories = torch.full((len(rows) * width,), -1)
    positions = torch.zeros(len(rows) * width, dtype=torch.long)
    histories[slot], positions[slot] = history_of, position
    return Packing(slot, row_of, histories.view(-1, width), positions.view(-1, width))


def place_targets(packing: Packing, sequence: torch.Tensor, visible: torch.Tensor) -> Targets:
    """Places targets in the rows of their histories.

    Args:
        packing: the packed histories.
        sequence: [n_targets] the history of each target.
        visible: [n_targets] how many of its first tokens the target may look at.

    Raises:
        ValueError: a target may look at nothing.
    """
    if int(visible.min()) < 1:
        raise ValueError(f"a target must see at least one token, got visible {visible.tolist()}")
    n_rows = packing.history.shape[0]
    row = packing.row[sequence]
    per_row = row.bincount(minlength=n_rows)
    width = int(per_row.max())
    order = row.argsort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(row)) - (per_row.cumsum(0) - per_row)[row[order]]
    slot = row * width + rank
    owner = torch.full((n_rows * width,), -2)  # an empty target slot matches no history
    limit = torch.zeros(n_rows * width, dtype=torch.long)
    owner[slot], limit[slot] = sequence, visible
    owner, limit = owner.view(-1, width, 1), limit.view(-1, width, 1)
    distance = limit - 1 - packing.position.unsqueeze(1)
    mask = (packing.history.unsqueeze(1) == owner) & (distance >= 0)
    return Targets(slot, width, mask, distance)
