"""A learned say about items that stand in the history already."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALE = (
    10.0  # the bias has to move by 20 and more, which steps of a usual learning rate take too long
)


class RepeatBias(nn.Module):
    r"""Adds a learned number :math:`b_j` to the logit of the item that stands j steps back.

    Without it a softmax over items puts those of the history on top, for a state is made of their
    vectors. On data without repeats it becomes a mask that was learned; elsewhere it may take
    either sign. An item that stands in the history several times gets the sum.

    Args:
        max_length: items of the longest history.
    """

    def __init__(self, max_length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(max_length))

    def forward(self, logits: Tensor, seen: Tensor) -> Tensor:
        """Logits `[n, n_items]` with the bias on the items in `seen`.

        Args:
            logits: of all items, column = item id.
            seen: items `[n, <= max_length]`, the last one first; 0 behind the first of a history.
        """
        bias = (SCALE * self.weight[: seen.shape[1]]).to(logits.dtype).expand(seen.shape)
        return logits.scatter_add(1, seen, bias.masked_fill(seen == 0, 0.0))


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
