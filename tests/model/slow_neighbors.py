"""Nearest texts in plain loops."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def slow_likeness(text: Tensor, anchor: int, number: int) -> dict[int, Tensor]:
    """The likeness of the nearest of all other items, row 0 left out."""
    others = [item for item in range(1, len(text)) if item != anchor]
    cosine = {item: F.cosine_similarity(text[anchor], text[item], dim=0) for item in others}
    order = sorted(others, key=lambda item: -cosine[item])
    last = cosine[order[number]]
    return {item: (cosine[item] - last) / (1 - last) for item in order[:number]}


def slow_mean(text: Tensor, anchor: int, number: int, own: Tensor) -> Tensor:
    """The mean of the own vectors of the nearest, weighted by their likeness."""
    likeness = slow_likeness(text, anchor, number)
    total = torch.stack(list(likeness.values())).sum()
    return torch.stack([share / total * own[item] for item, share in likeness.items()]).sum(0)
