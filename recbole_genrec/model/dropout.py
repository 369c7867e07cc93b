"""Dropout that costs little on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F

BITS = 16


def dropout(x: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """F.dropout(x, p, training), on a CPU several times faster.

    There torch draws a float per element. Here one 64-bit draw of torch's generator decides about
    four elements, so that p is rounded to a multiple of 1 / 65536; what is kept is scaled by the
    inverse of the rounded probability.
    """
    if not training or p == 0.0 or x.device.type != "cpu":
        return F.dropout(x, p, training)
    dropped = round(p * 2**BITS)
    draws = torch.empty(-(-x.numel() * BITS // 64), dtype=torch.int64).random_(-(2**63), None)
    draws = draws.view(torch.int16)[: x.numel()].view(x.shape)
    keep = torch.ge(draws, dropped - 2 ** (BITS - 1), out=torch.empty_like(draws, dtype=x.dtype))
    return x * keep.mul_(1 / (1 - dropped / 2**BITS))
