"""A faiss index of item vectors, for lists out of more items than can all be scored."""

from __future__ import annotations

import torch
from torch import Tensor

LISTS = 1024  # the items are divided into, by k-means of their vectors
PROBES = 64  # lists that are searched for a state, the nearest
TRAINED_ON = 64  # vectors for each list


class ItemIndex:
    """Finds items of high inner product with a state; it may miss some, as faiss' lists do.

    Args:
        vectors: of all items `[n_items, d]`, row 0 = padding.
    """

    def __init__(self, vectors: Tensor) -> None:
        import faiss  # of which models of few items have no need

        rows = vectors[1:].detach().float().cpu()
        lists = max(1, min(LISTS, len(rows) // TRAINED_ON))
        quantizer = faiss.IndexFlatIP(rows.shape[1])
        self._index = faiss.IndexIVFFlat(
            quantizer, rows.shape[1], lists, faiss.METRIC_INNER_PRODUCT
        )
        self._index.cp.min_points_per_centroid = 1  # no advice on standard error
        generator = torch.Generator().manual_seed(0)
        some = torch.randperm(len(rows), generator=generator)[: lists * TRAINED_ON]
        self._index.train(rows[some].numpy())
        self._index.add(rows.numpy())
        self._index.nprobe = min(PROBES, lists)

    def search(self, states: Tensor, k: int) -> Tensor:
        """Item ids `[n, k]` for states `[n, d]`, 0 where fewer are found."""
        found = self._index.search(states.detach().float().cpu().numpy(), k)[1]
        return torch.from_numpy(found + 1).to(states.device)
