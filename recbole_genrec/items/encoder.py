"""What makes the embeddings of items, kept so that further items get theirs the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.items.pca import PCA
from recbole_genrec.items.text_encoder import TextEncoder, restore_text_encoder


class ItemEncoder:
    """Texts or raw embeddings in, item embeddings out.

    Args:
        text_encoder: what makes raw embeddings of texts; None where embeddings are given.
        pca: what reduces raw embeddings to `text_embedding_dim`; None where nothing does.
    """

    def __init__(self, text_encoder: TextEncoder | None = None, pca: PCA | None = None) -> None:
        self.text_encoder = text_encoder
        self.pca = pca

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Item embeddings `[len(texts), d]` of texts.

        Raises:
            InputError: if the embeddings were given, so that nothing can encode texts.
        """
        if self.text_encoder is None:
            raise InputError(
                "These semantic IDs were not made from texts: give embeddings of new items instead."
            )
        return self.reduce(self.text_encoder.encode(texts))

    def reduce(self, embeddings: Tensor) -> Tensor:
        """Item embeddings `[n, d]` of raw ones `[n, d_raw]`."""
        return embeddings if self.pca is None else self.pca.transform(embeddings)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, for a checkpoint."""
        encoder = self.text_encoder
        return {
            "text_encoder": encoder and {"name": encoder.name, "state": encoder.state_dict()},
            "pca": self.pca and self.pca.state_dict(),
        }

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], device: torch.device | str = "cpu"
    ) -> ItemEncoder:
        """The encoder that `state` was taken of; `device` is where a neural one computes."""
        text_encoder = pca = None
        if state["text_encoder"]:
            text_encoder = restore_text_encoder(**state["text_encoder"], device=device)
        if state["pca"]:
            pca = PCA(len(state["pca"]["components"]))
            pca.load_state_dict(state["pca"])
        return cls(text_encoder, pca)
