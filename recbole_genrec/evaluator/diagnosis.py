"""Why a model stands where it stands: seen items, popularity of the target, known transitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recbole_genrec.evaluator.popularity_metrics import popularity_groups
from recbole_genrec.evaluator.protocols import UNMASKED
from recbole_genrec.evaluator.ranks import rank_metrics
from recbole_genrec.evaluator.recommendations import Recommendations

DECILES = 10


def seen_items(r: Recommendations, k: int) -> dict[str, float] | None:
    """What items of the history take of the unmasked lists.

    Returns:
        `places`: their share of the first k places that hold an item; `first`: of the first ones;
        `targets`: share of the test cases whose target stands in the history. None for files of
        earlier versions.
    """
    unmasked = r.in_protocol(UNMASKED)
    if unmasked is None or r.seen is None or r.target_seen is None:
        return None
    filled = unmasked.items[:, :k] > 0
    return {
        "places": _share(r.seen[:, :k].sum(), filled.sum()),
        "first": _share(r.seen[:, 0].sum(), filled[:, 0].sum()),
        "targets": float(r.target_seen.mean()),
    }


def by_popularity(
    ranks: np.ndarray, targets: np.ndarray, popularity: np.ndarray, topk: Sequence[int]
) -> list[dict[str, Any]]:
    """Recall@k and NDCG@k by the popularity decile of the target, from the rarest to the top one.

    Args:
        ranks: place of the target in each list [n], 0 = not in it.
        targets: item ids [n].
        popularity: training interactions of each item [n_items], row 0 = padding.

    Returns:
        of each decile of the items the number of `users` (lists) and their metrics, None where
        there are no users.
    """
    decile = popularity_groups(popularity[1:], DECILES)[targets - 1]  # [n]
    return [_group(ranks, decile == number, topk) for number in range(DECILES)]


def by_transition(
    ranks: np.ndarray, known: np.ndarray | None, topk: Sequence[int]
) -> dict[str, dict[str, Any]] | None:
    """Recall@k and NDCG@k of the test cases whose transition was seen in training, and the others.

    A transition leads from the last item of the history to the target.

    Args:
        ranks: place of the target in each list [n], 0 = not in it.
        known: whether it was seen [n]; None if that is not known.

    Returns:
        `seen` and `new`, each with the number of `users` (lists) and metrics, None without users.
    """
    if known is None:
        return None
    return {"seen": _group(ranks, known, topk), "new": _group(ranks, ~known, topk)}


def _group(ranks: np.ndarray, inside: np.ndarray, topk: Sequence[int]) -> dict[str, Any]:
    users = int(inside.sum())
    nothing = {f"{name}@{k}": None for k in topk for name in ("recall", "ndcg")}
    return {"users": users, **(rank_metrics(ranks[inside], topk) if users else nothing)}


def _share(part: np.integer, whole: np.integer) -> float:
    return float(part / whole) if whole else 0.0
