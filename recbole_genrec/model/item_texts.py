"""Embeddings of the items' texts inside a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ItemTexts(nn.Module):
    """The one holder of the embeddings of the items' texts, which all parts of a model read here.

    Args:
        n_items: of the catalogue, with the padding item.
        text: embeddings `[n_items, d_text]`; None where a checkpoint will bring them.

    Attributes:
        vectors: the embeddings, of length 1 `[n_items, d_text]`; saved with the weights. Loading
            weights takes over theirs, whatever their number and width.
    """

    vectors: Tensor

    def __init__(self, n_items: int, text: Tensor | None = None) -> None:
        super().__init__()
        vectors = torch.zeros(n_items, 1) if text is None else F.normalize(text.float())
        self.register_buffer("vectors", vectors)

    def add_items(self, text: Tensor) -> None:
        """Take in further items, with embeddings of their texts `[number, d_text]`."""
        self.vectors = torch.cat([self.vectors, F.normalize(text.to(self.vectors))])

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        loaded = state_dict.get(f"{prefix}vectors")
        if loaded is not None and loaded.dim() == 2:
            self.vectors = self.vectors.new_empty(loaded.shape)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
