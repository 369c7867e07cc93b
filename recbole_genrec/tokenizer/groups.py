"""Items grouped by the codes they share."""

import torch
from torch import Tensor


def group_rows(codes: Tensor) -> Tensor:
    """Group [n] of each row of codes [n, levels]: equal rows, equal number, counted from 0.

    Without levels all rows are equal.
    """
    group = torch.zeros(len(codes), dtype=torch.long, device=codes.device)
    for column in codes.unbind(1):
        # one column at a time: faster than unique(dim=0), and free of overflow
        group = (group * (column.max() + 1) + column).unique(return_inverse=True)[1]
    return group


def rank_in_group(group: Tensor) -> Tensor:
    """How many earlier items with the same group each item [n] has."""
    order = group.argsort(stable=True)
    count = torch.bincount(group)
    first = count.cumsum(0) - count
    rank = torch.empty_like(group)
    rank[order] = torch.arange(len(group), device=group.device) - first[group[order]]
    return rank
