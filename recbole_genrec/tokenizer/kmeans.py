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


def kmeans(
    rows: Tensor,
    k: int,
    iterations: int,
    generator: torch.Generator,
    limits: tuple[int, int] | None = None,
) -> tuple[Tensor, int]:
    """Lloyd's algorithm from `k` random rows.

    A centroid that loses all its rows is revived at one of the rows that lie farthest from their
    own centroids, so none stays empty while there are `k` distinct rows.

    Args:
        rows: [n, d] with n >= k.
        generator: CPU generator; on a CPU the result depends on nothing else, a GPU adds in any
            order.
        limits: least and most rows of a centroid, see `limited_codes`; any number if not given.

    Returns:
        centroids [k, d], and how many were revived.
    """
    if len(rows) < k:
        raise InputError(f"k-means of {len(rows)} rows cannot find {k} centroids")
    centroids = rows[torch.randperm(len(rows), generator=generator)[:k].to(rows.device)]
    norms = rows.square().sum(1)
    revived = torch.zeros((), dtype=torch.long, device=rows.device)
    for _ in range(iterations):
        if limits is None:
            lowest = [relative_distances(chunk, centroids).min(1) for chunk in rows.split(ROWS)]
            codes = torch.cat([chunk.indices for chunk in lowest])  # [n]
            error = norms + torch.cat([chunk.values for chunk in lowest])  # [n]
        else:
            codes = limited_codes(rows, centroids, *limits)
            error = (rows - centroids[codes]).square().sum(1)
        count = torch.zeros(k, device=rows.device).index_add_(0, codes, torch.ones_like(norms))
        total = torch.zeros_like(centroids).index_add_(0, codes, rows)
        empty = count == 0
        # the i-th empty centroid takes the i-th worst served row
        worst = error.topk(k).indices[(empty.cumsum(0) - 1).clamp_min(0)]
        means = total / count.clamp_min(1).unsqueeze(1)
        centroids = torch.where(empty.unsqueeze(1), rows[worst], means)
        revived += empty.sum()
    return centroids, int(revived)


def limited_codes(rows: Tensor, codebook: Tensor, least: int, most: int) -> Tensor:
    """Codes [n] of rows [n, d] such that each codeword [K, d] gets `least` to `most` of them.

    No row and codeword would rather have one another than what they have got: first each codeword
    gets `least` rows in this way, then the other rows are given away.

    Raises:
        InputError: if the rows are too few or too many for that.
    """
    k = len(codebook)
    if not k * least <= len(rows) <= k * most:
        raise InputError(
            f"{len(rows)} rows cannot be given to {k} codewords with {least} to {most} each"
        )
    codes = torch.full((len(rows),), -1, device=rows.device)
    for capacity in (least, most - least):
        if capacity:
            free = (codes < 0).nonzero().flatten()
            codes[free] = _stable_codes(rows[free], codebook, capacity)
    return codes


def _stable_codes(rows: Tensor, codebook: Tensor, capacity: int) -> Tensor:
    """Codes [n] of rows [n, d] with at most `capacity` for each codeword; -1 of those left over.

    Deferred acceptance (Gale and Shapley, 1962), all rows at once: each row that has no codeword
    proposes to the nearest one that would take it, and a codeword keeps its nearest rows.
    """
    k, none = len(codebook), rows.new_empty(0)
    held, code, distance = none.long(), none.long(), none  # in the order of codes and distances
    limit = rows.new_full((k,), torch.inf)  # a codeword takes what is nearer than that
    waiting = torch.arange(len(rows), device=rows.device)
    while len(waiting):
        proposals = [
            _below(squared_distances(rows[part], codebook), limit).min(1)
            for part in waiting.split(ROWS)
        ]
        nearest_distance = torch.cat([proposal.values for proposal in proposals])
        taken = nearest_distance < torch.inf  # the others are left over
        held = torch.cat([held, waiting[taken]])
        code = torch.cat([code, torch.cat([proposal.indices for proposal in proposals])[taken]])
        distance = torch.cat([distance, nearest_distance[taken]])
        order = distance.argsort(stable=True)
        order = order[code[order].argsort(stable=True)]
        held, code, distance = held[order], code[order], distance[order]
        first = torch.searchsorted(code, torch.arange(k, device=code.device))
        rank = torch.arange(len(code), device=code.device) - first[code]
        waiting = held[rank >= capacity]
        full = rank == capacity - 1
        limit[code[full]] = distance[full]
        kept = rank < capacity
        held, code, distance = held[kept], code[kept], distance[kept]
    codes = torch.full((len(rows),), -1, device=rows.device)
    codes[held] = code
    return codes


def _below(distances: Tensor, limit: Tensor) -> Tensor:
    return distances.masked_fill_(distances >= limit, torch.inf)


def sample_rows(embeddings: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """At most `size` random rows of a tensor or (memory-mapped) array, as a float32 tensor."""
    if len(embeddings) <= size:
        return to_tensor(embeddings)
    rows = torch.randperm(len(embeddings), generator=generator)[:size].sort().values
    if not isinstance(embeddings, Tensor):
        rows = np.asarray(rows)
    return to_tensor(embeddings[rows])
