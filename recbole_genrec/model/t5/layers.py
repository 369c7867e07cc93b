"""The layers of our T5: attention, the blocks of both stacks, the relative position buckets."""

from __future__ import annotations

import math

import torch
from torch import nn

from recbole_genrec.model.kernels.attention import attend
from recbole_genrec.model.kernels.dropout import dropout
from recbole_genrec.model.kernels.linear import Linear, feed_forward, linear
from recbole_genrec.model.kernels.norm import normalize
from recbole_genrec.model.t5.packing import Targets


class Block(nn.Module):
    """Self-attention, cross-attention in the decoder, and feed-forward, each with its residual."""

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        num_heads: int,
        d_kv: int,
        dropout_rate: float,
        eps: float,
        cross: bool,
    ):
        super().__init__()
        self.dropout_rate = dropout_rate
        self.self_norm = nn.RMSNorm(d_model, eps)
        self.self_attention = Attention(d_model, num_heads, d_kv, dropout_rate)
        if cross:
            self.cross_norm = nn.RMSNorm(d_model, eps)
            self.cross_attention = Attention(d_model, num_heads, d_kv, dropout_rate)
        self.ff_norm = nn.RMSNorm(d_model, eps)
        self.wi = Linear(d_model, d_ff, std=d_model**-0.5)
        self.wo = Linear(d_ff, d_model, std=d_ff**-0.5)

    def forward(
        self, x: torch.Tensor, bias: torch.Tensor, memory: tuple | None = None
    ) -> torch.Tensor:
        """x [n, length, d_model]; in the decoder memory = (states, their bias, targets)."""
        x = x + self._dropout(self.self_attention(x, self.self_norm, bias))
        if memory is not None:
            x = x + self._dropout(self.cross_attention.cross(x, self.cross_norm, *memory))
        normal, w_in = folded(x, self.ff_norm, self.wi.weight)
        dropout_rate = self.dropout_rate if self.training else 0.0
        return x + self._dropout(feed_forward(normal, w_in, self.wo.weight, dropout_rate))

    def _dropout(self, x: torch.Tensor) -> torch.Tensor:
        return dropout(x, self.dropout_rate, self.training)


class Attention(nn.Module):
    """Multi-head attention as in T5: scores are not scaled, the bias is given from outside."""

    def __init__(self, d_model: int, num_heads: int, d_kv: int, dropout_rate: float):
        super().__init__()
        self.num_heads, self.d_kv, self.dropout_rate = num_heads, d_kv, dropout_rate
        self.inner = num_heads * d_kv
        self.qkv = Linear(d_model, 3 * self.inner, std=d_model**-0.5)
        self.o = Linear(self.inner, d_model, std=self.inner**-0.5)
        with torch.no_grad():
            self.qkv.weight[: self.inner] *= d_kv**-0.5

    def forward(self, x: torch.Tensor, norm: nn.RMSNorm, bias: torch.Tensor) -> torch.Tensor:
        """x [n, length, d_model], bias [n * heads, length, length]."""
        qkv = linear(*folded(x, norm, self.qkv.weight))
        return self.o(self._attend([qkv], bias))

    def cross(
        self,
        x: torch.Tensor,
        norm: nn.RMSNorm,
        states: torch.Tensor,
        bias: torch.Tensor,
        targets: Targets,
    ) -> torch.Tensor:
        """x [n_targets, L, d_model] attends to the states [rows, width, d_model] of its history.

        bias [rows * heads, per_row * L, width].
        """
        w_q, w_kv = self.qkv.weight.split([self.inner, 2 * self.inner])
        q = targets.spread(linear(*folded(x, norm, w_q)))  # [rows, per_row * L, inner]
        out = self._attend([q, linear(states, w_kv)], bias)
        return self.o(targets.gather(out, x.shape[1]))

    def _attend(self, projected: list[torch.Tensor], bias: torch.Tensor) -> torch.Tensor:
        dropout_rate = self.dropout_rate if self.training else 0.0
        return attend(projected, bias, self.num_heads, dropout_rate)


def folded(
    x: torch.Tensor, norm: nn.RMSNorm, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What to multiply for linear(norm(x), weight): the weight of the norm goes into the other."""
    if norm.eps is None:
        raise ValueError("expected a norm with an eps of its own, found None")
    return normalize(x, norm.eps), weight * norm.weight


def relative_bucket(
    distance: torch.Tensor, bidirectional: bool, num_buckets: int, max_distance: int
) -> torch.Tensor:
    """T5's bucket of each distance (key position - query position): exact near, logarithmic far."""
    offset = torch.zeros_like(distance)
    if bidirectional:
        num_buckets //= 2
        offset = (distance > 0).long() * num_buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = num_buckets // 2
    # the order of the operations decides the rounding at the edges of the buckets: as in HF
    far = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = exact + (far * (num_buckets - exact)).long()
    return offset + torch.where(distance < exact, distance, far.clamp(max=num_buckets - 1))
