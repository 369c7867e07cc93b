"""Metrics of lists from the places at which their targets stand."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

LIST_METRICS = ("hit", "recall", "ndcg", "mrr")


def first_ranks(hits: np.ndarray) -> np.ndarray:
    """Rank of the first hit of each list, from 1; 0 where there is none.

    Args:
        hits: bool `[users, K]`, best item first.

    >>> first_ranks(np.array([[False, True, True], [False, False, False]])).tolist()
    [2, 0]
    """
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0)


def is_known_per_list(metric: str) -> bool:
    """Whether `metric_per_list` can compute it: `hit@k`, `recall@k`, `ndcg@k` and `mrr@k`."""
    name, _, k = metric.partition("@")
    return name in LIST_METRICS and k.isdigit()


def metric_per_list(ranks: np.ndarray, lists: np.ndarray, metric: str) -> np.ndarray:
    """Value of a metric for each list, as RecBole defines it: their mean is that of the test.

    Args:
        ranks: place of each target in its list [n], 1 = first, 0 = not in it.
        lists: number of the list of each target [n], from 0 to n_lists - 1.
        metric: `hit@k` (whether any target of the list has rank at most k), `recall@k` (the share
            of its targets that have), `ndcg@k` (1 / log2(rank + 1) of these, relative to a list
            that begins with its targets) or `mrr@k` (1 / rank of the first one).

    Returns:
        `[n_lists]`

    Raises:
        ValueError: for any other metric.

    >>> metric_per_list(np.array([1, 3, 0, 2]), np.array([0, 1, 2, 2]), "ndcg@5").round(2).tolist()
    [1.0, 0.5, 0.39]
    """
    if not is_known_per_list(metric):
        raise ValueError(f"expected one of {', '.join(LIST_METRICS)} at some k, found {metric}")
    name, _, k = metric.partition("@")
    inside = (ranks >= 1) & (ranks <= int(k))
    place = np.maximum(ranks, 1)
    number = np.bincount(lists)  # [n_lists], targets of each list
    if name == "mrr":
        best = np.zeros(len(number))
        np.maximum.at(best, lists, inside / place)
        return best
    if name == "ndcg":
        ideal = np.cumsum(1 / np.log2(np.arange(1, int(k) + 1) + 1))
        gained = np.bincount(lists, inside / np.log2(place + 1))
        return gained / ideal[np.minimum(number, int(k)) - 1]
    found = np.bincount(lists, inside)
    return np.minimum(found, 1) if name == "hit" else found / number


def rank_metrics(ranks: np.ndarray, topk: Iterable[int]) -> dict[str, float]:
    """Mean Recall@k and NDCG@k of lists with one target, from its rank (0 = not in the list).

    Raises:
        ValueError: when there is no list.

    >>> rank_metrics(np.array([1, 3, 0, 0]), [2, 3])
    {'recall@2': 0.25, 'ndcg@2': 0.25, 'recall@3': 0.5, 'ndcg@3': 0.375}
    """
    if len(ranks) == 0:
        raise ValueError("no users to average over")
    lists = np.arange(len(ranks))
    names = [f"{name}@{k}" for k in topk for name in ("recall", "ndcg")]
    return {name: float(metric_per_list(ranks, lists, name).mean()) for name in names}
