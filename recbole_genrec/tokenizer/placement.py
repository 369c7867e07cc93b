"""Unique semantic IDs for new items beside those that exist already."""

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from recbole_genrec.errors import InputError


def place_new_items(existing: Tensor, codes: Tensor, codebook_sizes: Sequence[int]) -> Tensor:
    """The nearest free ID of each new item: it keeps as many leading codes as possible.

    Where the wanted ID is taken, the last level is tried in ascending order, then the last two, and
    so on. New items are served in the order given, so the result is deterministic.

    Args:
        existing: unique IDs `[n, L]`.
        codes: wanted codes of the new items `[m, L]`, or `[m, L - 1]` where the last level only
            tells apart items that share the others (collision strategy "append").
        codebook_sizes: number of codes per level `[L]`.

    Returns:
        unique IDs `[m, L]`, none of them in `existing`.

    Raises:
        InputError: if no ID is free.
    """
    taken = set(map(tuple, existing.tolist()))
    placed = []
    for wanted in codes.tolist():
        free = next((c for c in _nearest(wanted, codebook_sizes) if c not in taken), None)
        if free is None:
            raise InputError(
                f"codebook sizes {list(codebook_sizes)} have no free semantic ID left beside "
                f"{len(taken)} items"
            )
        taken.add(free)
        placed.append(free)
    return torch.tensor(placed, dtype=torch.long).view(-1, len(codebook_sizes))


def _nearest(wanted: list[int], sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All IDs, those that share the longest prefix with `wanted` first."""
    if len(wanted) == len(sizes):
        yield tuple(wanted)
    for kept in reversed(range(len(sizes))):
        if kept <= len(wanted):
            for rest in product(*map(range, sizes[kept:])):
                yield (*wanted[:kept], *rest)
