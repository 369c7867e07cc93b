"""Relaxed hits: an item counts when its first k tokens are those of the target.

Table 6 of "Token-Weighted Multi-Target Learning for Generative Recommenders with Curriculum
Learning", arXiv 2601.17787. Works on the saved recommendations of any model.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def first_ranks(hits: np.ndarray) -> np.ndarray:
    """Rank of the first hit of each list, from 1; 0 where there is none.

    Args:
        hits: bool `[users, K]`, best item first.

    >>> first_ranks(np.array([[False, True, True], [False, False, False]])).tolist()
    [2, 0]
    """
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0)


def rank_metrics(ranks: np.ndarray, topk: Iterable[int]) -> dict[str, float]:
    """Mean Recall@k and NDCG@k of lists with one target, from its rank (0 = not in the list).

    Recall@k is the share of ranks from 1 to k, NDCG@k the mean of 1 / log2(rank + 1) over them.

    >>> rank_metrics(np.array([1, 3, 0, 0]), [2, 3])
    {'recall@2': 0.25, 'ndcg@2': 0.25, 'recall@3': 0.5, 'ndcg@3': 0.375}
    """
    if len(ranks) == 0:
        raise ValueError("no users to average over")
    gain = 1 / np.log2(np.maximum(ranks, 1) + 1.0)
    metrics = {}
    for k in topk:
        hit = (ranks >= 1) & (ranks <= k)
        metrics[f"recall@{k}"] = float(hit.mean())
        metrics[f"ndcg@{k}"] = float((hit * gain).mean())
    return metrics


def prefix_metrics(
    recommended: np.ndarray, targets: np.ndarray, tokens: np.ndarray, topk: Iterable[int]
) -> dict[int, dict[str, float]]:
    """Recall@k and NDCG@k per number of tokens that an item must share with the target.

    Where several items of a list share the prefix, the first one counts. With unique semantic IDs
    the metrics for all L tokens are the usual ones.

    Args:
        recommended: item ids `[users, K]`, best first; places without an item hold an id <= 0.
        targets: item ids `[users]`.
        tokens: tokens or codes of all items `[n_items, L]`, row 0 is the padding item.
        topk: lengths of the evaluated lists, at most K.

    Returns:
        number of tokens 1..L -> `{"recall@5": ..., "ndcg@5": ..., ...}`
    """
    topk = list(topk)
    if max(topk) > recommended.shape[1]:
        raise ValueError(f"lists of {recommended.shape[1]} items cannot give metrics at {topk}")
    hits = recommended > 0  # [users, K]
    metrics = {}
    for length, token in enumerate(tokens.T, start=1):
        hits = hits & (token[recommended] == token[targets][:, None])
        metrics[length] = rank_metrics(first_ranks(hits), topk)
    return metrics
