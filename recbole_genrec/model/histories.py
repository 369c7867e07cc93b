"""Items of histories, in the orders in which models need them."""

from __future__ import annotations

import torch
from torch import Tensor


def last_items_first(item_seq: Tensor, lengths: Tensor) -> Tensor:
    """Histories from their last item back to the first, 0 behind it.

    Args:
        item_seq: padded on the right `[batch, length]`.
        lengths: number of items of each history `[batch]`.

    >>> last_items_first(torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([3, 1])).tolist()
    [[7, 6, 5], [8, 0, 0]]
    """
    back = torch.arange(1, item_seq.shape[1] + 1, device=item_seq.device)
    place = lengths.unsqueeze(1) - back
    return item_seq.gather(1, place.clamp_min(0)).masked_fill(place < 0, 0)


def items_before(items: Tensor, lengths: Tensor) -> Tensor:
    """For each item of the histories, itself and those before it `[total_items, longest]`.

    Args:
        items: of all histories end to end `[total_items]`.
        lengths: number of items of each history `[batch]`.

    >>> items_before(torch.tensor([5, 6, 7, 8]), torch.tensor([3, 1])).tolist()
    [[5, 0, 0], [6, 5, 0], [7, 6, 5], [8, 0, 0]]
    """
    start = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    place = torch.arange(len(items), device=items.device)
    back = place.unsqueeze(1) - torch.arange(int(lengths.max()), device=items.device)
    return items[back.clamp(min=0)].masked_fill(back < start.unsqueeze(1), 0)


def next_items(items: Tensor, lengths: Tensor, last: Tensor) -> Tensor:
    """The item after each of the histories' items: the targets of one pass `[total_items]`.

    Args:
        items: of all histories end to end `[total_items]`.
        lengths: number of items of each history `[batch]`.
        last: the item after each history `[batch]`.

    >>> next_items(torch.tensor([5, 6, 7, 8]), torch.tensor([3, 1]), torch.tensor([1, 2])).tolist()
    [6, 7, 1, 2]
    """
    following = items.roll(-1)
    following[lengths.cumsum(0) - 1] = last
    return following
