"""Embeddings of texts and of a sequential recommender side by side."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from recbole_genrec.cache import hash_texts
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.items.items import Items
from recbole_genrec.items.needs import BOTH, SIDES


class BothEmbeddings:
    """The embeddings "both": "text" and "collaborative" of each item, one after the other.

    Each of them is centered and brought to unit length first, so that both weigh the same.
    """

    def check(self, config, dataset) -> None:
        """The stages before this one have looked at all that it reads."""

    def run(self, config, dataset, items: Items) -> None:
        sides = [items.embeddings[name] for name in SIDES[BOTH]]
        rows = torch.cat([_directions(side.rows) for side in sides], 1)
        fingerprint = hash_texts([side.fingerprint for side in sides])
        vectors = F.pad(rows, (0, 0, 1, 0))
        items.embeddings[BOTH] = ItemEmbeddings(vectors, ItemEncoder(), BOTH, fingerprint)


def _directions(vectors: Tensor) -> Tensor:
    """Vectors `[n, d]` from their mean, of length 1."""
    return F.normalize(vectors - vectors.mean(0), dim=1)
