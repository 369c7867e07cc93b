"""Dropout that costs little on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F

BITS = 16


def dropout(x: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """F.dropout(x, p, training), on a CPU several times faster."""
    if not training or p == 0.0 or x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, p, training)
    return x * keep_mask(x, p)


def keep_mask(x: torch.Tensor, p: float) -> torch.Tensor:
    """What dropout multiplies x by: 0 with probability p, the inverse of 1 - p where x is kept.

    On a CPU torch would draw a float per element. Here one 64-bit draw of its generator decides
    about four elements, so that p is rounded to a multiple of 1 / 65536, also in the inverse.
    """
    if x.device.type != "cpu":
        return torch.empty_like(x).bernoulli_(1 - p).div_(1 - p)
    dropped = _dropped(p)
    draws = torch.empty(-(-x.numel() * BITS // 64), dtype=torch.int64).random_(-(2**63), None)
    draws = draws.view(torch.int16)[: x.numel()].view(x.shape)
    keep = torch.ge(draws, dropped - 2 ** (BITS - 1), out=torch.empty_like(draws, dtype=x.dtype))
    return keep.mul_(keep_scale(p))


def keep_scale(p: float) -> float:
    """The inverse of the share that is kept on a CPU."""
    return 1 / (1 - _dropped(p) / 2**BITS)


def _dropped(p: float) -> int:
    """How many of the 2**BITS values of a draw drop an element."""
    return min(round(p * 2**BITS), 2**BITS - 1)
