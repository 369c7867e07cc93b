"""Items that share the first codes of their semantic IDs: their numbers, and figures on them.

Everything here takes codes or tokens alike, `[n, L]` without a padding row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_genrec.tokenizer.base import to_tensor

BLOCK = 2**25  # numbers of a block of columns of the embeddings that are worked on at a time


def prefix_groups(codes: Tensor) -> Tensor:
    """Number the distinct prefixes of each length, in lexicographic order from 0.

    Args:
        codes: `[n, L]`

    Returns:
        group of each item's prefix of length 0..L, LongTensor `[n, L + 1]`.
    """
    groups = [torch.zeros(len(codes), dtype=torch.long, device=codes.device)]
    for column in codes.unbind(1):
        # one column at a time: faster than unique(dim=0), and free of overflow
        key = groups[-1] * (column.max() + 1) + column
        groups.append(key.unique(return_inverse=True)[1])
    return torch.stack(groups, dim=1)


def group_rows(codes: Tensor) -> Tensor:
    """Group `[n]` of each row: equal rows have equal numbers; without levels all are equal."""
    return prefix_groups(codes)[:, -1]


def rank_in_group(group: Tensor) -> Tensor:
    """How many earlier items with the same group each item `[n]` has."""
    order = group.argsort(stable=True)
    count = torch.bincount(group)
    first = count.cumsum(0) - count
    rank = torch.empty_like(group)
    rank[order] = torch.arange(len(group), device=group.device) - first[group[order]]
    return rank


def prefix_nodes(tokens: Tensor, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Number all distinct prefixes in one row, the empty one 0, shorter ones before longer ones.

    Args:
        tokens: `[n, L]`, every token below `vocab_size`.

    Returns:
        `keys`, sorted LongTensor `[n_nodes - 1]`: node v > 0 has the key
        `parent * vocab_size + token` at place v - 1, so `find_nodes` takes L binary searches;
        `nodes`, LongTensor `[n, L + 1]`: the node of each item's prefix of length 0..L.
    """
    groups = prefix_groups(tokens)
    sizes = groups.amax(dim=0) + 1  # [L + 1]
    nodes = groups + (sizes.cumsum(0) - sizes)
    keys = tokens.new_empty(int(sizes.sum()) - 1)
    keys[nodes[:, 1:] - 1] = nodes[:, :-1] * vocab_size + tokens
    return keys, nodes


def find_nodes(keys: Tensor, tokens: Tensor, vocab_size: int) -> Tensor:
    """Nodes `[batch, L]` of the prefixes of length 1..L of known semantic IDs `[batch, L]`."""
    node = torch.zeros_like(tokens[:, 0])
    nodes = []
    for level in tokens.unbind(dim=1):
        node = torch.searchsorted(keys, node * vocab_size + level) + 1
        nodes.append(node)
    return torch.stack(nodes, dim=1)


def collision_rate(codes: Tensor) -> float:
    """One minus the share of distinct rows among codes `[n, L]`."""
    return 1 - (int(group_rows(codes).max()) + 1) / len(codes)


def entropies(group: Tensor, counts: Tensor) -> Tensor:
    r"""Entropy of the counts within each group, in nats.

    .. math::
        H(v) = \log N_v - \frac{1}{N_v} \sum_{i \in v} n_i \log n_i

    where v holds the items of a group, n_i counts item i and N_v is their sum. A group without any
    count has entropy 0.

    Args:
        group: of each item, `[n]`, or several of them, `[n, k]`, such as `nodes` of `prefix_nodes`.
        counts: whole numbers `[n]`.

    Returns:
        `[n_groups]`, float64

    >>> entropies(torch.tensor([0, 0, 1]), torch.tensor([5, 5, 8])).exp().round().tolist()
    [2.0, 1.0]
    """
    if group.ndim > 1:
        counts = counts.unsqueeze(1).expand_as(group).flatten()
        group = group.flatten()
    counts = counts.double()
    total = torch.zeros(int(group.max()) + 1, dtype=torch.float64, device=group.device)
    sum_n_log_n = torch.zeros_like(total)
    total.index_add_(0, group, counts)
    sum_n_log_n.index_add_(0, group, torch.xlogy(counts, counts))
    total = total.clamp(min=1)
    return total.log() - sum_n_log_n / total


def usage_entropy(codes: Tensor) -> float:
    """Entropy of the frequencies of the codes `[n]` of one level, in nats; uniform: log(size)."""
    frequencies = torch.bincount(codes)
    return float(entropies(torch.zeros_like(frequencies), frequencies))


def dispersion(groups: Tensor, embeddings: Tensor, squared: bool = True) -> Tensor:
    r"""Expected distance of an item to the centroid of the items that share its first k codes.

    .. math::
        \mu_k = \frac{1}{N} \sum_i \| u_i - \bar u_{G_k(i)} \|^2

    for k = 0..L: Section 4.1.1 of "Token-Weighted Multi-Target Learning for Generative Recommenders
    with Curriculum Learning", arXiv 2601.17787. By its Lemma 4.1 it never rises with k in this
    squared form.

    Args:
        groups: of `prefix_groups`, `[n, L + 1]`.
        embeddings: `[n, d]`, a tensor or a (memory-mapped) array.
        squared: mean squared distances as in the paper; False for mean distances.

    Returns:
        `[L + 1]`, float64
    """
    n, d = embeddings.shape
    distances = torch.zeros(groups.shape, dtype=torch.float64, device=groups.device)
    width = max(1, min(64, BLOCK // n))  # bounds the memory of the float64 copies
    for start in range(0, d, width):
        columns = to_tensor(embeddings[:, start : start + width], groups.device, torch.float64)
        for k, group in enumerate(groups.unbind(dim=1)):
            size = torch.bincount(group)
            sums = columns.new_zeros(len(size), columns.shape[1]).index_add_(0, group, columns)
            centroids = sums / size.unsqueeze(1)
            distances[:, k] += (columns - centroids[group]).square().sum(dim=1)
    return (distances if squared else distances.sqrt()).mean(dim=0)
