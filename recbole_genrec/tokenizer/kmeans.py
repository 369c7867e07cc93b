"""K-means: Lloyd's iterations on resident rows, nearest codewords in chunks."""

import numpy as np
import torch
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.base import to_tensor

ROWS = 16384  # rows whose distances to all codewords are held at a time


def squared_distances(rows: Tensor, codebook: Tensor) -> Tensor:
    """Squared Euclidean distances [n, K] between rows [n, d] and codewords [K, d]."""
    return (rows.square().sum(1, keepdim=True) + relative_distances(rows, codebook)).clamp_min_(0)


def nearest(rows: Tensor, codebook: Tensor) -> Tensor:
    """Index [n] of the codeword [K, d] nearest to each row [n, d]."""
    return torch.cat([relative_distances(chunk, codebook).argmin(1) for chunk in rows.split(ROWS)])


def relative_distances(rows: Tensor, codebook: Tensor) -> Tensor:
    """Squared distances less the squared norm of the row: argmin and softmax are the same."""
    return torch.addmm(codebook.square().sum(1), rows, codebook.T, alpha=-2)


def kmeans(rows: Tensor, k: int, iterations: int, generator: torch.Generator) -> tuple[Tensor, int]:
    """Lloyd's algorithm from `k` random rows.

    A centroid that loses all its rows is revived at one of the rows that lie farthest from their
    own centroids, so none stays empty while there are `k` distinct rows.

    Args:
        rows: [n, d] with n >= k.
        generator: CPU generator; the result depends on nothing else.

    Returns:
        centroids [k, d], and how many were revived.
    """
    if len(rows) < k:
        raise InputError(f"k-means of {len(rows)} rows cannot find {k} centroids")
    centroids = rows[torch.randperm(len(rows), generator=generator)[:k].to(rows.device)]
    norms = rows.square().sum(1)
    revived = torch.zeros((), dtype=torch.long, device=rows.device)
    for _ in range(iterations):
        lowest = [relative_distances(chunk, centroids).min(1) for chunk in rows.split(ROWS)]
        codes = torch.cat([chunk.indices for chunk in lowest])  # [n]
        error = norms + torch.cat([chunk.values for chunk in lowest])  # [n]
        count = torch.zeros(k, device=rows.device).index_add_(0, codes, torch.ones_like(norms))
        total = torch.zeros_like(centroids).index_add_(0, codes, rows)
        empty = count == 0
        # the i-th empty centroid takes the i-th worst served row
        worst = error.topk(k).indices[(empty.cumsum(0) - 1).clamp_min(0)]
        means = total / count.clamp_min(1).unsqueeze(1)
        centroids = torch.where(empty.unsqueeze(1), rows[worst], means)
        revived += empty.sum()
    return centroids, int(revived)


def sample_rows(embeddings: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """At most `size` random rows of a tensor or (memory-mapped) array, as a float32 tensor."""
    if len(embeddings) <= size:
        return to_tensor(embeddings)
    rows = torch.randperm(len(embeddings), generator=generator)[:size].sort().values
    if not isinstance(embeddings, Tensor):
        rows = np.asarray(rows)
    return to_tensor(embeddings[rows])
