r"""
BSARec
################################################

Reference:
    Yehjin Shin et al. "An Attentive Inductive Bias for Sequential Recommendation beyond the
    Self-Attention." in AAAI 2024.

Reference code:
    https://github.com/yehjin-shin/BSARec
"""

from __future__ import annotations

import torch
from recbole.model.layers import TransformerLayer
from recbole.model.sequential_recommender.sasrec import SASRec
from torch import Tensor, nn

from recbole_genrec.errors import refuse
from recbole_genrec.model.hooks import ModelHooks


class BSARec(ModelHooks, SASRec):
    r"""SASRec whose attention is mixed with a filter of the frequencies of the sequence.

    .. math::
        A_l = \alpha F(X_l) + (1 - \alpha) \mathrm{SelfAttention}(X_l)

    .. math::
        F(X) = \mathrm{LN}(X + \mathrm{Dropout}(\mathrm{LFC}(X) + \beta^2 \, (X - \mathrm{LFC}(X))))

    LFC keeps the lowest frequencies of the sequence, padding included; :math:`\beta` is learned,
    one for each dimension.
    """

    @classmethod
    def check_config(cls, config) -> None:
        width, heads = config["hidden_size"], config["n_heads"]
        if width % heads:
            refuse("hidden_size", f"a multiple of n_heads [{heads}]", width)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        for layer in self.trm_encoder.layer:
            filtered = FrequencyFilter(
                self.hidden_size,
                config["low_frequencies"],
                self.hidden_dropout_prob,
                self.layer_norm_eps,
            )
            layer.multi_head_attention = Mixture(layer, filtered, config["filter_weight"])


class Mixture(nn.Module):
    """A filter beside the self-attention of a layer.

    Args:
        layer: whose attention it is.
        filtered: the filter.
        weight: alpha, its share.
    """

    def __init__(self, layer: TransformerLayer, filtered: FrequencyFilter, weight: float) -> None:
        super().__init__()
        self.attention, self.filtered = layer.multi_head_attention, filtered
        self.weight = weight

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """`[batch, length, d]`, as RecBole's attention."""
        return torch.lerp(self.attention(hidden, mask), self.filtered(hidden), self.weight)


class FrequencyFilter(nn.Module):
    """F: the lowest frequencies of a sequence as they are, all others times beta squared."""

    def __init__(self, hidden_size: int, low_frequencies: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.low_frequencies = low_frequencies
        self.beta = nn.Parameter(torch.randn(hidden_size))
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(hidden_size, eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """`[batch, length, d]`"""
        spectrum = torch.fft.rfft(hidden, dim=1, norm="ortho")[:, : self.low_frequencies]
        low = torch.fft.irfft(spectrum, hidden.shape[1], dim=1, norm="ortho")  # the rest is 0
        filtered = low + self.beta.square() * (hidden - low)
        return self.norm(hidden + self.dropout(filtered))
