"""T5's RMS norm without its weight, which the projection behind it takes over."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable


def normalize(x: torch.Tensor, eps: float) -> torch.Tensor:
    """x / sqrt(mean(x ** 2) + eps) over the last dimension."""
    if torch.compiler.is_compiling():
        return F.rms_norm(x, x.shape[-1:], eps=eps)
    return _Normalize.apply(x, eps)


class _Normalize(torch.autograd.Function):
    """Half the operators that autograd would take."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, eps: float) -> torch.Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        normal = x * scale
        ctx.save_for_backward(normal, scale)
        return normal

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        normal, scale = ctx.saved_tensors
        radial = torch.linalg.vecdot(grad, normal).unsqueeze(-1).div_(-normal.shape[-1])
        return torch.addcmul(grad, normal, radial).mul_(scale), None
