"""The matrix product of a linear layer, by the faster of the libraries that torch comes with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable


class Linear(nn.Linear):
    """A linear layer without bias that multiplies by `linear` below."""

    def __init__(self, d_in: int, d_out: int, std: float):
        super().__init__(d_in, d_out, bias=False)
        nn.init.normal_(self.weight, std=std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(x, self.weight)


def linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x [..., d_in] @ weight [d_out, d_in].T -> [..., d_out]."""
    if _onednn_serves(x, weight):
        return _OneDNNLinear.apply(x, weight)
    return F.linear(x, weight)


def linear_relu(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """relu(linear(x, weight)) in one pass; for inference."""
    if _onednn_serves(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, None, "relu", [], "")
    return F.linear(x, weight).relu_()


def linear_add(x: torch.Tensor, weight: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
    """residual + linear(x, weight) in one pass; all of two dimensions; for inference."""
    if _onednn_serves(x, weight):
        return torch.ops.mkldnn._linear_pointwise.binary(x, residual, weight, None, "add")
    return torch.addmm(residual, x, weight.t())


def _onednn_serves(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """On a CPU torch multiplies float32 by MKL, which on AMD has half the speed of oneDNN.

    In bfloat16 torch takes oneDNN by itself; autocast decides about the type before us.
    """
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
    )


def _product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_x = _product(grad, weight.t()) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return grad_x, None
        grad, x = grad.flatten(0, -2).t(), x.flatten(0, -2).t()
        # oneDNN takes the second factor as it lies but copies the first: let that be the small one
        if len(x) < len(grad):
            return grad_x, _product(x, grad).t()
        return grad_x, _product(grad, x)
