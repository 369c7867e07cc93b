"""GPT-2's decoder over item vectors: what item-level models read histories with.

Reference:
    Alec Radford et al. "Language Models are Unsupervised Multitask Learners." 2019.
    Yehjin Shin et al. "An Attentive Inductive Bias for Sequential Recommendation beyond the
    Self-Attention." in AAAI 2024, whose filter `CausalFilter` carries over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.model.kernels.attention import attend
from recbole_genrec.model.kernels.dropout import dropout
from recbole_genrec.model.t5.packing import MASKED, check_lengths, pack

STD = 0.02  # of the initial weights


class CausalTransformer(nn.Module):
    """One state per item of a history, from that item and those before it.

    Learned positions, norms before each sub-layer, and the initialization of GPT-2. Histories are
    packed into rows, so that no work goes into padding.

    Args:
        hidden_size, n_layers, n_heads, inner_size: widths and depth.
        max_length: items of the longest history.
        embedding_dropout, attn_dropout, hidden_dropout: of the inputs, of the attention weights and
            of what each sub-layer adds.
        gated: whether attention and feed-forward are gated by a sigmoid of their input.
        filter_weight: share of a `CausalFilter` beside the attention of each layer.
    """

    def __init__(
        self,
        hidden_size: int,
        n_layers: int,
        n_heads: int,
        inner_size: int,
        max_length: int,
        embedding_dropout: float = 0.0,
        attn_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        gated: bool = False,
        filter_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_heads, self.embedding_dropout = n_heads, embedding_dropout
        self.position = nn.Embedding(max_length, hidden_size)
        self.blocks = nn.ModuleList(
            Block(
                hidden_size, n_heads, inner_size, attn_dropout, hidden_dropout, gated, filter_weight
            )
            for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(hidden_size)
        nn.init.normal_(self.position.weight, std=STD)
        for block in cast("Iterable[Block]", self.blocks):
            for linear in (block.qkv, block.wi, block.o, block.wo):
                last = linear in (block.o, block.wo)  # what is added up over the layers
                nn.init.normal_(linear.weight, std=STD * (2 * n_layers) ** -0.5 if last else STD)
                nn.init.zeros_(linear.bias)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """States `[total_items, d]`, in the order of the vectors.

        Args:
            vectors: of the items of all histories laid end to end `[total_items, d]`.
            lengths: number of items of each history `[batch]`; on the host it costs no waiting.
        """
        lengths = lengths.cpu()
        check_lengths(lengths, vectors)
        packing = pack(lengths).to(vectors.device)
        x = packing.spread(vectors) + self.position(packing.position)  # [rows, width, d]
        x = dropout(x, self.embedding_dropout, self.training)
        bias = torch.zeros((), dtype=x.dtype, device=x.device)
        bias = bias.where(packing.self_mask(1), MASKED).repeat_interleave(self.n_heads, 0)
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x).flatten(0, 1).index_select(0, packing.slot)


class Block(nn.Module):
    """Self-attention and feed-forward, each behind a norm and added to its input."""

    def __init__(
        self,
        hidden_size: int,
        n_heads: int,
        inner_size: int,
        attn_dropout: float,
        hidden_dropout: float,
        gated: bool,
        filter_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_heads, self.scale = n_heads, (hidden_size // n_heads) ** -0.5
        self.attn_dropout, self.hidden_dropout = attn_dropout, hidden_dropout
        self.attention_norm, self.ff_norm = nn.LayerNorm(hidden_size), nn.LayerNorm(hidden_size)
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.o = nn.Linear(hidden_size, hidden_size)
        self.wi = nn.Linear(hidden_size, inner_size)
        self.wo = nn.Linear(inner_size, hidden_size)
        self.gates = nn.ModuleList()  # of attention and feed-forward
        for _ in range(2 * gated):
            gate = nn.Linear(hidden_size, hidden_size)
            nn.init.zeros_(gate.weight)
            nn.init.zeros_(gate.bias)
            self.gates.append(gate)
        self.filter_weight = filter_weight
        self.filter = CausalFilter(hidden_size) if filter_weight else None

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x `[rows, width, d]`; bias `[rows * n_heads, width, width]`."""
        normed = self.attention_norm(x)
        q, kv = self.qkv(normed).tensor_split([x.shape[-1]], -1)
        attn_dropout = self.attn_dropout if self.training else 0.0
        attended = attend([q * self.scale, kv], bias.to(q.dtype), self.n_heads, attn_dropout)
        mixed = self.o(attended)
        if self.filter is not None:
            filtered = self.filter(normed, bias[:: self.n_heads])
            mixed = torch.lerp(mixed, filtered.type_as(mixed), self.filter_weight)
        x = x + self._dropout(self._gated(0, normed, mixed))
        normed = self.ff_norm(x)
        inner = F.gelu(self.wi(normed), approximate="tanh")
        return x + self._dropout(self._gated(1, normed, self.wo(inner)))

    def _gated(self, number: int, normed: Tensor, output: Tensor) -> Tensor:
        return self.gates[number](normed).sigmoid() * output if self.gates else output

    def _dropout(self, x: Tensor) -> Tensor:
        return dropout(x, self.hidden_dropout, self.training)


class CausalFilter(nn.Module):
    r"""BSARec's filter of frequencies, of what has been so far.

    .. math::
        F(x_t) = \bar x_t + \beta^2 (x_t - \bar x_t), \qquad
        \bar x_t = \frac{1}{t} \sum_{s \le t} x_s

    where :math:`\beta` is learned, one for each dimension. BSARec transforms the whole sequence,
    which would show each state the items that it is to predict; the lowest of its frequencies is
    the mean, and here that of the items up to each.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.randn(hidden_size))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x `[rows, width, d]`; bias `[rows, width, width]`, 0 where an item sees another."""
        mean = bias.softmax(-1).to(x.dtype) @ x
        return mean + self.beta.square() * (x - mean)
