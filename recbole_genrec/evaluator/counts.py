"""How often each item is recommended: coverage of the catalogue, and inequality."""

from __future__ import annotations

import numpy as np


def times_recommended(items: np.ndarray, n_items: int) -> np.ndarray:
    """Times each item is in the lists, `[n_items]` without the padding item.

    Args:
        items: item ids, of any shape; places without an item hold an id <= 0.
        n_items: number of items without the padding item.
    """
    return np.bincount(items[items > 0], minlength=n_items + 1)[1:]


def coverage(times: np.ndarray) -> float:
    """Share of the items that are recommended to anyone, of `times_recommended`."""
    return float((times > 0).mean())


def gini(times: np.ndarray) -> float:
    """Inequality of `times_recommended`: 0 all alike, 1 always the same one of very many.

    >>> gini(np.array([2, 2])), gini(np.array([0, 0, 0, 8]))
    (0.0, 0.75)
    """
    n, total = len(times), times.sum()
    place = np.arange(1, n + 1)
    return float(((2 * place - n - 1) * np.sort(times)).sum() / (n * total)) if total else 0.0
