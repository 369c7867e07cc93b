"""The layers of our T5: attention, the blocks of both stacks, the relative position buckets."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from recbole_genrec.model.dropout import dropout
from recbole_genrec.model.linear import Linear, linear
from recbole_genrec.model.packing import Targets


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
        x = x + self._dropout(self.self_attention(self.self_norm(x), bias))
        if memory is not None:
            x = x + self._dropout(self.cross_attention.cross(self.cross_norm(x), *memory))
        hidden = self._dropout(F.relu(self.wi(self.ff_norm(x))))
        return x + self._dropout(self.wo(hidden))

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

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """x [n, length, d_model], bias [n * heads, length, length]."""
        q, k, v = self.qkv(x).split(self.inner, -1)
        return self.o(self._attend(q, k, v, bias))

    def cross(
        self, x: torch.Tensor, states: torch.Tensor, bias: torch.Tensor, targets: Targets
    ) -> torch.Tensor:
        """x [n_targets, L, d_model] attends to the states [rows, width, d_model] of its history.

        bias [rows * heads, per_row * L, width].
        """
        w_q, w_kv = self.qkv.weight.split([self.inner, 2 * self.inner])
        k, v = linear(states, w_kv).split(self.inner, -1)  # [rows, width, inner]
        q = targets.spread(linear(x, w_q))  # [rows, per_row * L, inner]
        return self.o(targets.gather(self._attend(q, k, v, bias), x.shape[1]))

    def _attend(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        n = len(q)
        q, k, v = (self._split_heads(t) for t in (q, k, v))  # [n * heads, length, d_kv]
        weights = torch.baddbmm(bias, q, k.transpose(1, 2)).softmax(-1)
        weights = dropout(weights, self.dropout_rate, self.training)
        out = torch.bmm(weights, v).unflatten(0, (n, self.num_heads))
        return out.transpose(1, 2).flatten(2)  # [n, queries, inner]

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.num_heads, self.d_kv)).transpose(1, 2).flatten(0, 1)


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
