"""Is one model really better than another? Tests over seeds and over users, by scipy.

Two questions hide in that one. A test over seeds asks whether training again would give the same
winner; it needs several seeds. A paired test over users asks whether the models at hand would also
differ on other users; one seed is enough for it, but it knows nothing of the luck of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
from scipy import stats

ALPHA = 0.05
PERMUTATIONS = 9999
RESAMPLES = 1999  # of the bootstrap
GROUPS = 4096  # of users that resamplings tell apart: intervals of 1/4096 of the range
BATCH_VALUES = 2**22  # numbers that a resampling holds at a time


def seeds_test(first: Sequence[float], second: Sequence[float]) -> float:
    """p of the two-sided Mann-Whitney U test on a metric of two models, one value per seed."""
    return float(stats.mannwhitneyu(first, second, alternative="two-sided").pvalue)


def smallest_seeds_p(num_first: int, num_second: int) -> float:
    """Smallest p that `seeds_test` can give with so many seeds: if all of one beat all others.

    >>> smallest_seeds_p(3, 3), round(smallest_seeds_p(5, 5), 4)
    (0.1, 0.0079)
    """
    return min(1.0, 2 / comb(num_first + num_second, num_first))


def permutation_test(first: np.ndarray, second: np.ndarray) -> float:
    """p of the paired permutation test: how often random signs give as large a mean difference.

    Args:
        first, second: metric per user [n], the same users in the same order.
    """
    differences = _differences(first, second)
    if len(differences) == 0:
        return 1.0
    # Users with (nearly) the same size of difference are drawn together, by how many of them are
    # positive; the root of the mean square of a group keeps the variance of the sum as it is.
    group = _groups(np.abs(differences))
    users = np.bincount(group)
    sizes = np.sqrt(np.bincount(group, differences**2) / users)
    rng = np.random.default_rng(0)

    def random_signs(size: tuple[int, int]) -> np.ndarray:
        return sizes * (2 * rng.binomial(users, 0.5, size=size) - users)

    test = stats.monte_carlo_test(
        np.bincount(group, differences),
        random_signs,
        np.sum,
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=max(1, BATCH_VALUES // len(sizes)),
    )
    return float(test.pvalue)


def wilcoxon_test(first: np.ndarray, second: np.ndarray) -> float:
    """p of the Wilcoxon signed-rank test, paired by user [n]; 1 where no user differs."""
    differences = _differences(first, second)
    return float(stats.wilcoxon(differences).pvalue) if len(differences) else 1.0


def mean_interval(sums: np.ndarray, lists: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of a mean over lists, by percentiles; what is resampled are users.

    Args:
        sums: of a metric over the lists of each user [n], or the difference of two models in it.
        lists: how many lists each user has [n].
    """
    if np.ptp(sums / lists) == 0:  # nothing to resample
        return float(sums[0] / lists[0]), float(sums[0] / lists[0])
    # Users with (nearly) the same numbers are drawn together, by how many are in a resample.
    group = np.unique(_groups(sums) + 2 * GROUPS * _groups(lists), return_inverse=True)[1]
    users = np.bincount(group)
    sums, lists = (np.bincount(group, values) / users for values in (sums, lists))
    rng, shares = np.random.default_rng(0), users / users.sum()
    batch = max(1, BATCH_VALUES // len(users))
    means = []
    for done in range(0, RESAMPLES, batch):
        drawn = rng.multinomial(users.sum(), shares, size=min(batch, RESAMPLES - done))
        means.append((drawn @ sums) / (drawn @ lists))
    low, high = np.quantile(np.concatenate(means), [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


def _groups(values: np.ndarray) -> np.ndarray:
    """Number of the group of each value [n]: of those that are equal, or of narrow intervals."""
    distinct, group = np.unique(values, return_inverse=True)
    if len(distinct) <= GROUPS:
        return group
    interval = np.floor((values - distinct[0]) / (distinct[-1] - distinct[0]) * GROUPS)
    return np.unique(interval, return_inverse=True)[1]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: what each p is worth when all hypotheses of the family are tested.

    Sture Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979: the i-th smallest
    of m is multiplied by m - i + 1 and never falls below the one before.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty_like(p)
    result[order] = np.minimum(corrected, 1.0)
    return result.tolist()


def _differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """What differs between paired users; users who do not differ say nothing either way."""
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    return differences[differences != 0]
