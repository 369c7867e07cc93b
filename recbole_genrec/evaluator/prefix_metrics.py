"""Relaxed hits: an item counts when its first k tokens are those of the target.

Table 6 of "Token-Weighted Multi-Target Learning for Generative Recommenders with Curriculum
Learning", arXiv 2601.17787. Works on the saved recommendations of any model.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from recbole_genrec.evaluator.ranks import first_ranks, rank_metrics


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
