"""The matrix product of a linear layer, by the faster of the libraries that torch comes with."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from recbole_genrec.model.kernels.dropout import dropout, keep_mask, keep_scale


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


def feed_forward(
    x: torch.Tensor, w_in: torch.Tensor, w_out: torch.Tensor, dropout_rate: float
) -> torch.Tensor:
    """linear(dropout(relu(linear(x, w_in))), w_out); dropout_rate 0 for none."""
    if _onednn_serves(x, w_in):
        return _OneDNNFeedForward.apply(x, w_in, w_out, dropout_rate)
    return linear(dropout(F.relu(linear(x, w_in)), dropout_rate, True), w_out)


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
    if torch.compiler.is_compiling():  # which fuses in its own way
        return False
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and _onednn_answers()
    )


@cache
def _onednn_answers() -> bool:
    """Whether this torch has the operators, which are none of its public ones."""
    one = torch.ones(1, 1)
    try:
        torch.ops.mkldnn._linear_pointwise.binary(one, one, one, None, "add")
        return torch.equal(_product(one, one), one)
    except (AttributeError, RuntimeError, TypeError):
        return False


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
        return grad_x, _weight_gradient(grad, x) if ctx.needs_input_grad[1] else None


class _OneDNNFeedForward(torch.autograd.Function):
    """The hidden layer is large: ReLU, dropout and their gradients pass over it once each."""

    @staticmethod
    def forward(ctx, x, w_in, w_out, dropout_rate):
        hidden = linear_relu(x, w_in)
        if dropout_rate:
            hidden.mul_(keep_mask(hidden, dropout_rate))
        ctx.save_for_backward(x, w_in, w_out, hidden)
        ctx.scale = keep_scale(dropout_rate)
        return _product(hidden, w_out)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, w_in, w_out, hidden = ctx.saved_tensors
        # hidden units that ReLU or dropout has set to 0 get no gradient, the others the scaled one
        grad_hidden = _product(grad, (w_out * ctx.scale).t())
        torch.ops.aten.threshold_backward.grad_input(grad_hidden, hidden, 0, grad_input=grad_hidden)
        grad_x = _product(grad_hidden, w_in.t())
        return grad_x, _weight_gradient(grad_hidden, x), _weight_gradient(grad, hidden), None


def _weight_gradient(grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    grad, x = grad.flatten(0, -2).t(), x.flatten(0, -2).t()
    # oneDNN takes the second factor as it lies but copies the first: let that be the small one
    if len(x) < len(grad):
        return _product(x, grad).t()
    return _product(grad, x)
