"""How well, and how often, popular and rare items are recommended.

Figures 2 and 3 of "Token-Weighted Multi-Target Learning for Generative Recommenders with Curriculum
Learning", arXiv 2601.17787. Works on the saved recommendations of any model. Popularity is the
number of times an item occurs in training.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from recbole_genrec.evaluator.ranks import first_ranks, rank_metrics


def popularity_groups(counts: np.ndarray, num_groups: int) -> np.ndarray:
    """Split items by count into groups of equal size (up to one item), the rarest are group 0.

    Items with equal counts are told apart by their place, so that groups keep their size.

    Args:
        counts: `[n]`

    Returns:
        group of each item `[n]`

    >>> popularity_groups(np.array([7, 0, 3, 9]), 2).tolist()
    [1, 0, 0, 1]
    """
    groups = np.empty(len(counts), dtype=np.int64)
    groups[np.argsort(counts, kind="stable")] = np.arange(len(counts)) * num_groups // len(counts)
    return groups


def head_tail_metrics(
    recommended: np.ndarray, targets: np.ndarray, train_counts: np.ndarray, topk: Iterable[int]
) -> dict[str, dict[str, float]]:
    """Recall@k and NDCG@k of the users whose target is a head item, and of the others (Figure 3).

    The distinct targets are ranked by their count in training; the upper half is the head (with an
    odd number of targets the one in the middle belongs to the tail).

    Args:
        recommended: item ids `[users, K]`, best first; places without an item hold an id <= 0.
        targets: item ids `[users]`, at least two different ones.
        train_counts: occurrences of every item in training `[n_items]`.
        topk: lengths of the evaluated lists.

    Returns:
        `{"head": {"users": ..., "recall@5": ..., ...}, "tail": {...}}`
    """
    items, place = np.unique(targets, return_inverse=True)
    is_head = (popularity_groups(train_counts[items], 2) == 1)[place]  # [users]
    ranks = first_ranks(recommended == targets[:, None])
    topk = list(topk)
    return {
        name: {"users": int(users.sum()), **rank_metrics(ranks[users], topk)}
        for name, users in (("head", is_head), ("tail", ~is_head))
    }


def popularity_shares(
    recommended: np.ndarray, targets: np.ndarray, train_counts: np.ndarray
) -> dict[str, list[float]]:
    """Share of each popularity decile in the targets and in the recommended items (Figure 2).

    A model without popularity bias has the same share as the targets in every decile.

    Args:
        recommended: item ids `[users, K]`; places without an item hold an id <= 0.
        targets: item ids `[users]`.
        train_counts: occurrences of every item in training `[n_items]`, row 0 is the padding item.

    Returns:
        `{"targets": [...], "recommended": [...]}`, from the rarest decile to the most popular one;
        each sums to 1.
    """
    groups = popularity_groups(train_counts[1:], 10)

    def shares(items: np.ndarray) -> list[float]:
        counts = np.bincount(groups[items[items > 0] - 1], minlength=10)
        return (counts / counts.sum()).tolist()

    return {"targets": shares(targets), "recommended": shares(recommended)}
