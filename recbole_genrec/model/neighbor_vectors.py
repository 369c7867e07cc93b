"""What an item takes over from the items with the nearest texts.

Reference:
    Xin Zhou and Zhiqi Shen. "A Tale of Two Graphs: Freezing and Denoising Graph Structures for
    Multimodal Recommendation." in MM 2023, whose frozen graph of items joins those of like content.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.model.text_neighbors import nearest_texts

SHARE = 0.5  # of the mean that an item starts with


class NeighborLists(nn.Module):
    """The items with the nearest texts of each item, and what each counts in their mean.

    Args:
        items, likeness: the neighbors of each item `[n_items, number]`, as `nearest_texts` finds
            them.

    Attributes:
        items: as given, 0 for none.
        shares: what each counts in the mean `[n_items, number]`.
    """

    items: Tensor
    shares: Tensor

    def __init__(self, items: Tensor, likeness: Tensor) -> None:
        super().__init__()
        self.register_buffer("items", items.clone())
        self.register_buffer("shares", _shares(likeness))
        self._reversed: tuple[Tensor, ...] = ()

    def reverse(self) -> tuple[Tensor, ...]:
        """Of each item those that have it as a neighbor, end to end; where each list begins; and
        their shares."""
        if not self._reversed or self._reversed[0] is not self.items:  # lists change as a whole
            near = self.items.flatten()
            order = near.argsort(stable=True)
            counts = near.bincount(minlength=len(self.items))
            starts = F.pad(counts.cumsum(0)[:-1], (1, 0)).to(near)
            source = order.div(self.items.shape[1], rounding_mode="floor").to(near)
            self._reversed = self.items, source, starts, self.shares.flatten()[order]
        return self._reversed[1:]

    @torch.no_grad()
    def add_items(self, text: Tensor, own: Tensor) -> None:
        """Lists of further items, of those that have an own vector; all others keep theirs.

        Args:
            text: embeddings of all items by now, of length 1 `[n_items, d_text]`.
            own: own vectors of all items, zero where there is none `[n_items, d]`.
        """
        new = torch.arange(len(self.items), len(text), device=text.device)
        known = own.any(1).nonzero().flatten()
        items, likeness = nearest_texts(text, self.items.shape[1], new, known[known > 0])
        self.items = torch.cat([self.items, items])
        self.shares = torch.cat([self.shares, _shares(likeness)])

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Take over the lists of a checkpoint, whatever its number of items."""
        for name in ("items", "shares"):
            loaded = state_dict.get(f"{prefix}{name}")
            if loaded is not None and loaded.dim() == 2:
                setattr(self, name, getattr(self, name).new_empty(loaded.shape))
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class NeighborVectors(nn.Module):
    r"""A mean of the own vectors of the items whose texts are nearest.

    .. math::
        n_i = a \odot \frac{\sum_{j \in N(i)} \ell_{ij} \, o_j}{\sum_{j \in N(i)} \ell_{ij}}

    where o are own vectors, :math:`\ell` is the likeness of `TextNeighbors`, from 1 for the same
    text to 0 behind the last neighbor, and a is learned, a number for each dimension.

    Args:
        size: of the vectors.
        lists: the neighbors; they belong to the model.
    """

    def __init__(self, size: int, lists: NeighborLists) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((size,), SHARE))
        self._lists = (lists,)  # in a tuple, as it is no module of this one

    def forward(self, own: Tensor, items: Tensor | None = None) -> Tensor:
        """Vectors `[m, d]` of the items `[m]`, of all by default.

        Args:
            own: the own vectors of all items `[n_items, d]`.
            items: whose vectors are wanted.
        """
        (lists,) = self._lists
        if items is None:
            mean = _Means.apply(own, lists.items, lists.shares, *lists.reverse())
        else:
            mean = _sums(own, lists.items[items], lists.shares[items])
        return self.weight * mean


def _shares(likeness: Tensor) -> Tensor:
    return likeness / likeness.sum(1, keepdim=True).clamp(min=1e-6)


class _Means(torch.autograd.Function):
    """The sums over all lists, whose gradient is that over the reverse lists: on a CPU a tenth of
    the time that torch takes for it."""

    @staticmethod
    def forward(
        ctx: Any,
        own: Tensor,
        items: Tensor,
        shares: Tensor,
        source: Tensor,
        starts: Tensor,
        back: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(source, starts, back)
        return _sums(own, items, shares)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        source, starts, back = ctx.saved_tensors
        return _sums(gradients[0].contiguous(), source, back, starts), None, None, None, None, None


def _sums(rows: Tensor, items: Tensor, shares: Tensor, starts: Tensor | None = None) -> Tensor:
    """Weighted sums of rows, one for each list of items."""
    return F.embedding_bag(items, rows, starts, mode="sum", per_sample_weights=shares)
