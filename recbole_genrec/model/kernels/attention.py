"""The core of attention, with its gradients written out.

Between the products attention is bound by passes over memory, and in a small model by the number
of operators. Autograd takes twice as many of both as are needed.
"""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from recbole_genrec.model.kernels.dropout import keep_mask


def attend(
    projected: list[torch.Tensor], bias: torch.Tensor, num_heads: int, dropout_rate: float
) -> torch.Tensor:
    """softmax(q @ k.T + bias) @ v for each head, with dropout of the softmax.

    Args:
        projected: [n, queries, inner] q and [n, keys, 2 * inner] k and v, or all three in one
            tensor [n, length, 3 * inner].
        bias: [n * num_heads, queries, keys].
        num_heads: into which inner is divided.
        dropout_rate: 0 for none.

    Returns:
        [n, queries, inner].
    """
    if torch.compiler.is_compiling():  # which fuses the passes itself
        return _products(bias, num_heads, dropout_rate, projected)[0]
    return _Attention.apply(bias, num_heads, dropout_rate, *projected)


def _products(bias, num_heads, dropout_rate, projected):
    """The output, the weights before and after dropout, and the heads of each tensor."""
    parts = [3] if len(projected) == 1 else [1, 2]
    heads = [_split_heads(x, n, num_heads) for x, n in zip(projected, parts, strict=True)]
    q, k, v = (part for several in heads for part in several)
    weights = torch.baddbmm(bias, q, k.mT)
    weights = torch.softmax(weights, -1, dtype=weights.dtype)
    kept = weights * keep_mask(weights, dropout_rate) if dropout_rate else weights
    return _merge_heads(torch.bmm(kept, v).unsqueeze(0), num_heads), weights, kept, heads


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, bias, num_heads, dropout_rate, *projected):
        out, weights, kept, heads = _products(bias, num_heads, dropout_rate, projected)
        ctx.save_for_backward(weights, kept, *heads)
        ctx.num_heads = num_heads
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        weights, kept, *heads = ctx.saved_tensors
        q, k, v = (part for several in heads for part in several)
        grads = [torch.empty_like(several) for several in heads]
        grad_q, grad_k, grad_v = (part for several in grads for part in several)
        (grad,) = _split_heads(grad, 1, ctx.num_heads)
        torch.bmm(kept.mT, grad, out=grad_v)
        scores = torch.bmm(grad, v.mT).mul_(kept)
        scores.addcmul_(weights, scores.sum(-1, keepdim=True), value=-1)  # through the softmax
        torch.bmm(scores, k, out=grad_q)
        torch.bmm(scores.mT, q, out=grad_k)
        grad_bias = scores if ctx.needs_input_grad[0] else None
        return grad_bias, None, None, *(_merge_heads(x, ctx.num_heads) for x in grads)


def _split_heads(x: torch.Tensor, parts: int, num_heads: int) -> torch.Tensor:
    """[n, length, parts * inner] -> [parts, n * num_heads, length, d_kv]."""
    n, length, _ = x.shape
    x = x.view(n, length, parts, num_heads, -1).permute(2, 0, 3, 1, 4)
    return x.reshape(parts, n * num_heads, length, -1)


def _merge_heads(x: torch.Tensor, num_heads: int) -> torch.Tensor:
    """[parts, n * num_heads, length, d_kv] -> [n, length, parts * inner]."""
    parts, _, length, d_kv = x.shape
    x = x.view(parts, -1, num_heads, length, d_kv).permute(1, 3, 0, 2, 4)
    return x.reshape(len(x), length, -1)
