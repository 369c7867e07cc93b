"""Where a model is good and what it recommends: analyses of saved recommendations, of any model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recbole_genrec.evaluator.counts import coverage, gini, times_recommended
from recbole_genrec.evaluator.diagnosis import by_popularity, by_transition, seen_items
from recbole_genrec.evaluator.popularity_metrics import head_tail_metrics, popularity_shares
from recbole_genrec.evaluator.prefix_metrics import prefix_metrics
from recbole_genrec.evaluator.ranks import rank_metrics
from recbole_genrec.evaluator.recommendations import Recommendations

HISTORY_GROUPS = 4


def analyze(recommendations: Recommendations, topk: Sequence[int]) -> dict[str, Any]:
    """All analyses of one run.

    Args:
        recommendations: of the test, K >= max(topk).
        topk: list lengths; what is not a metric at every k is said of lists of the largest.

    Returns:
        plain values under the names of the functions of this module: `head_tail` and `popularity`
        (see `popularity_metrics`), `beyond_accuracy`, `history_length`; `seen_items`,
        `by_popularity` and `by_transition` (see `diagnosis`); `prefix` (see `prefix_metrics`;
        lengths are texts) and `items_per_code`, each by the name of the set of
        semantic IDs, empty for models without any.
    """
    r, k = recommendations, max(topk)
    top = r.items[:, :k]
    return {
        "head_tail": _head_tail(r, topk),
        "popularity": popularity_shares(top, r.targets, r.popularity) if top.any() else None,
        "beyond_accuracy": beyond_accuracy(top, r.popularity),
        "history_length": history_length(r.ranks, r.history_lengths, topk),
        "seen_items": seen_items(r, k),
        "by_popularity": by_popularity(r.ranks, r.targets, r.popularity, topk),
        "by_transition": by_transition(r.ranks, r.seen_transition, topk),
        "prefix": {name: _prefix(r, codes, topk) for name, codes in r.codes.items()},
        "items_per_code": {name: items_per_code(codes) for name, codes in r.codes.items()},
    }


def _prefix(r: Recommendations, codes: np.ndarray, topk: Sequence[int]) -> dict[str, dict]:
    by_length = prefix_metrics(r.items, r.targets, codes, topk)
    return {str(length): metrics for length, metrics in by_length.items()}


def _head_tail(r: Recommendations, topk: Sequence[int]) -> dict[str, dict] | None:
    """None where a single item is the target of all, so that there are no two halves."""
    if len(np.unique(r.targets)) < 2:
        return None
    return head_tail_metrics(r.items, r.targets, r.popularity, topk)


def beyond_accuracy(items: np.ndarray, popularity: np.ndarray) -> dict[str, float]:
    """What the lists are like, whether they hit or not.

    Args:
        items: lists [n, k]; 0 = empty slot.
        popularity: training interactions of each item [n_items], row 0 = padding.

    Returns:
        `coverage`: share of the items that are in any list;
        `gini`: inequality of how often items are recommended, 0 all alike, 1 always the same one;
        `novelty`: mean over what is recommended of -log2 of the item's share of the training
        interactions, in bits (Saul Vargas and Pablo Castells, RecSys 2011, Section 4.1.1);
        an item without interactions counts as having one;
        `filled`: share of the slots that hold an item.
    """
    times = times_recommended(items, len(popularity) - 1)  # [n]
    total = times.sum()
    if total == 0:
        return {"coverage": 0.0, "gini": 0.0, "novelty": 0.0, "filled": 0.0}
    share = np.maximum(popularity[1:], 1) / max(popularity[1:].sum(), 1)
    return {
        "coverage": coverage(times),
        "gini": gini(times),
        "novelty": float(-(times * np.log2(share)).sum() / total),
        "filled": float(total / items.size),
    }


def history_length(
    ranks: np.ndarray, lengths: np.ndarray, topk: Sequence[int]
) -> list[dict[str, float]]:
    """Recall@k and NDCG@k of users with short, middling and long histories.

    Args:
        ranks: place of the target in each list [n], 0 = not in it.
        lengths: training interactions of the user of each list [n].

    Returns:
        one dict per group, from short to long: lengths `from` .. `to`, number of `users` (lists),
        metrics. Groups are quarters as far as equal lengths stay together.
    """
    quantiles = np.quantile(lengths, np.arange(1, HISTORY_GROUPS) / HISTORY_GROUPS, method="lower")
    group = np.searchsorted(np.unique(quantiles), lengths, side="left")  # [n]
    groups = []
    for number in np.unique(group):
        inside = group == number
        groups.append(
            {
                "from": int(lengths[inside].min()),
                "to": int(lengths[inside].max()),
                "users": int(inside.sum()),
                **rank_metrics(ranks[inside], topk),
            }
        )
    return groups


def items_per_code(codes: np.ndarray) -> list[list[int]]:
    """Number of items with each code, one list per level.

    Args:
        codes: semantic IDs [n_items, L], row 0 = padding.
    """
    return [np.bincount(level).tolist() for level in codes[1:].T]


def overlap(first: Recommendations, second: Recommendations, k: int) -> dict[str, float]:
    """How alike two models recommend, on the same test cases (see `align`).

    Returns:
        `shared`: mean share of the top k that both lists hold;
        `hits_both`, `hits_first`, `hits_second`: shares of the lists in which both models, only the
        first or only the second have the target among the top k.
    """
    shared = np.zeros(len(first.items))
    for place in range(k):
        item = first.items[:, place, None]
        shared += ((second.items[:, :k] == item) & (item > 0)).any(axis=1)
    hits = [(r.ranks >= 1) & (r.ranks <= k) for r in (first, second)]
    return {
        "shared": float(shared.mean() / k),
        "hits_both": float((hits[0] & hits[1]).mean()),
        "hits_first": float((hits[0] & ~hits[1]).mean()),
        "hits_second": float((~hits[0] & hits[1]).mean()),
    }


def average(analyses: Sequence[Any]) -> Any:
    """Mean of several results of `analyze`, such as those of all seeds, number by number.

    `items_per_code` is that of the first: codes of different tokenizers have nothing in common.
    What one of them lacks, the mean lacks, and so it does lists of different lengths.
    """
    first = analyses[0]
    if any(each is None for each in analyses):
        return None
    if isinstance(first, dict):
        return {
            key: value if key == "items_per_code" else average([each[key] for each in analyses])
            for key, value in first.items()
        }
    if isinstance(first, list):
        if len({len(each) for each in analyses}) > 1:  # such as groups of other test cases
            return None
        return [average(entries) for entries in zip(*analyses, strict=True)]
    return float(np.mean(analyses))
