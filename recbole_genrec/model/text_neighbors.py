"""Items whose texts are like those of the last items of a history, as scores of a few items."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.model.item_index import ItemIndex
from recbole_genrec.model.sparse_scores import SparseScores

SCALE = 5.0  # of the weights, which have to move by several units in a usual number of steps
EXACT = 100_000  # items up to which all cosines are computed; above, an index finds those of many
ROWS = 256  # whose cosines are held at a time
LISTS = ("items", "likeness", "behind")


class TextNeighbors(nn.Module):
    r"""Adds to the score of item i, after a state s and the items :math:`a_0, a_1, ...` before it

    .. math::
        \sum_{j=0}^{J-1} w_j(s) \frac{c(a_j, i) - c_N(a_j)}{1 - c_N(a_j)}, \qquad w(s) = W s + b

    where :math:`a_j` stands j steps back from the last item and c is the cosine of the embeddings
    of two texts. Only the N nearest items of an item count; :math:`c_N` is the cosine of the one
    behind them, so that the score is 1 for the same text and fades to 0 at the end of the list.

    Where `TransitionMemory` knows what followed an item, this knows what is like it, of items that
    nothing was trained on too.

    Args:
        hidden_size: of the states.
        n_items: of the catalogue, with the padding item.
        steps: J, from how many items back neighbors count.
        number: N.
        text: embeddings of length 1 `[n_items, d_text]`; None where a checkpoint will bring lists.

    Attributes:
        items: the nearest of each item, the nearest first `[n_items, N]`; 0 for none.
        likeness: the fraction above `[n_items, N]`.
        behind: the item behind the last of each list `[n_items, 1]`; 0 for none.
    """

    items: Tensor
    likeness: Tensor
    behind: Tensor

    def __init__(
        self, hidden_size: int, n_items: int, steps: int, number: int, text: Tensor | None = None
    ) -> None:
        super().__init__()
        self.steps, self.number = steps, number
        self.weight = nn.Parameter(torch.zeros(steps, hidden_size))
        self.bias = nn.Parameter(torch.zeros(steps))
        self.register_buffer("items", torch.zeros(n_items, 0, dtype=torch.int))
        self.register_buffer("likeness", torch.zeros(n_items, 0))
        self.register_buffer("behind", torch.zeros(n_items, 1, dtype=torch.int))
        if text is not None:
            self.items, self.likeness, self.behind = lists(*nearest(text, self._width(text)))

    def forward(self, states: Tensor, seen: Tensor) -> SparseScores:
        """The scores of the neighbors, `steps * number` of each row.

        Args:
            states: `[n, d]`.
            seen: items `[n, >= 1]`, the last one first; 0 behind the first of a history.
        """
        anchors = F.pad(seen, (0, self.steps))[:, : self.steps]
        weights = SCALE * F.linear(states, self.weight, self.bias).unsqueeze(2)  # [n, steps, 1]
        values = weights * self.likeness[anchors]  # [n, steps, N]
        return SparseScores(self.items[anchors].long().flatten(1), values.flatten(1))

    @torch.no_grad()
    def add_items(self, text: Tensor) -> None:
        """Take in further items: lists of theirs, and a place in those whose end is less near.

        Args:
            text: embeddings of all items by now, of length 1 `[n_items, d_text]`.
        """
        known, new = torch.arange(len(text), device=text.device).tensor_split([len(self.items)])
        for name, rows in zip(LISTS, lists(*nearest(text, self._width(text), new)), strict=True):
            old = getattr(self, name)
            wider = F.pad(old, (0, rows.shape[1] - old.shape[1]))  # where lists had all items
            setattr(self, name, torch.cat([wider, rows]))
        for some in known[1:].split(ROWS):
            self._insert(text, new, some)

    def _insert(self, text: Tensor, new: Tensor, rows: Tensor) -> None:
        """Give new items a place in the lists of known ones, where the end is less near."""
        near, cosines = nearest(text, min(self._width(text), len(new)), rows, new)
        behind = self.behind[rows, 0]
        last = (text[rows] * text[behind]).sum(1)
        nearer = (behind == 0) | (cosines[:, 0] > last)
        rows = rows[nearer]
        candidates = torch.cat([self.items[rows], self.behind[rows], near[nearer]], 1)
        found = closest(text, rows, candidates, self._width(text))
        self.items[rows], self.likeness[rows], self.behind[rows] = lists(*found)

    def _width(self, text: Tensor) -> int:
        """Of lists, with the item behind the last."""
        return min(self.number, len(text) - 1) + 1

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Take over the lists of a checkpoint, whatever its number of items."""
        for name in LISTS:
            loaded = state_dict.get(f"{prefix}{name}")
            if loaded is not None and loaded.dim() == 2:
                setattr(self, name, getattr(self, name).new_empty(loaded.shape))
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def nearest_texts(
    text: Tensor, number: int, of: Tensor | None = None, among: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The items with the nearest texts and their likeness, the fraction in `TextNeighbors`.

    Arguments and shapes are those of `nearest`; items are 32-bit integers, and there are no more
    columns than the catalogue has items.
    """
    return lists(*nearest(text, min(number, len(text) - 1) + 1, of, among))[:2]


def lists(items: Tensor, cosines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All nearest items but the last `[n, N]`, their likeness `[n, N]`, and the last `[n, 1]`.

    Args:
        items, cosines: as of `nearest`, `[n, N + 1]`.
    """
    last = cosines[:, -1:]
    likeness = (cosines - last) / (1 - last).clamp(min=1e-6)
    likeness = likeness[:, :-1].clamp(min=0)  # below 0 where some are lacking
    return items[:, :-1].int(), likeness, items[:, -1:].int()


@torch.no_grad()
def nearest(
    vectors: Tensor, number: int, of: Tensor | None = None, among: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The other items of the highest cosine to each item, and the cosines `[n, number]`.

    Args:
        vectors: of length 1 `[n_items, d]`, row 0 = padding, which is no item's neighbor.
        number: of neighbors; item 0 and cosine 0 stand for those that are lacking.
        of: items whose neighbors are looked for `[n]`, all by default.
        among: items that may be neighbors, all by default.
    """
    every = torch.arange(len(vectors), device=vectors.device)
    of = every if of is None else of
    among = every if among is None else F.pad(among, (1, 0))
    table = vectors[among]
    index = ItemIndex(table) if len(of) * len(table) > EXACT**2 else None
    found = []
    for rows in of.split(ROWS):
        if index is None:
            near = vectors[rows] @ table.T
            found.append(_best(rows, among.expand(len(rows), -1), near, number))
        else:
            candidates = among[index.search(vectors[rows], number + 1)]
            found.append(closest(vectors, rows, candidates, number))
    items, cosines = zip(*found, strict=True)
    return torch.cat(items), torch.cat(cosines)


def closest(vectors: Tensor, of: Tensor, candidates: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """As of `nearest`, for items `[n]` out of some that may be near to each `[n, k]`."""
    near = torch.einsum("nd,ncd->nc", vectors[of], vectors[candidates])
    return _best(of, candidates, near, number)


def _best(of: Tensor, candidates: Tensor, near: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Those of the highest cosines `[n, k]`, without the item itself and the padding item."""
    none = (candidates == 0) | (candidates == of.unsqueeze(1)) | (of == 0).unsqueeze(1)
    near, place = near.masked_fill(none, -torch.inf).topk(min(number, near.shape[1]))
    lacking, missing = near == -torch.inf, (0, number - near.shape[1])
    items = candidates.gather(1, place).masked_fill(lacking, 0)
    return F.pad(items, missing), F.pad(near.masked_fill(lacking, 0.0), missing)
