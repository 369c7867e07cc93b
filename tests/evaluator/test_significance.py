"""Significance against scipy called plainly, exhaustive enumeration and hand-worked cases."""

from itertools import combinations, product

import numpy as np
import pytest
from recbole.evaluator import metrics as recbole_metrics
from scipy import stats

from recbole_genrec.evaluator.ranks import metric_per_list
from recbole_genrec.evaluator.significance import (
    RESAMPLES,
    holm,
    mean_interval,
    permutation_test,
    seeds_test,
    smallest_seeds_p,
    wilcoxon_test,
)


@pytest.fixture
def ranks():
    return np.random.default_rng(3).integers(0, 11, size=300)


def per_list(ranks, metric):
    """Of lists with one target each."""
    return metric_per_list(ranks, np.arange(len(ranks)), metric)


@pytest.mark.parametrize("metric", ["hit@5", "recall@5", "ndcg@5", "mrr@5", "ndcg@10"])
def test_a_model_compared_with_itself_is_never_significant(ranks, metric):
    values = per_list(ranks, metric)
    assert permutation_test(values, values) == 1.0
    assert wilcoxon_test(values, values) == 1.0
    assert mean_interval(values - values, np.ones(300)) == (0.0, 0.0)
    assert seeds_test([0.1, 0.2, 0.3, 0.4, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5]) == 1.0


def test_metric_of_single_targets_by_hand():
    ranks = np.array([1, 2, 3, 7, 0])
    assert per_list(ranks, "hit@3").tolist() == [1, 1, 1, 0, 0]
    assert per_list(ranks, "mrr@3").tolist() == [1, 1 / 2, 1 / 3, 0, 0]
    expected = [1, 1 / np.log2(3), 1 / 2, 1 / 3, 0]
    assert per_list(ranks, "ndcg@7") == pytest.approx(expected)


@pytest.mark.parametrize("name", ["Hit", "Recall", "NDCG", "MRR"])
def test_metric_of_several_targets_is_that_of_recbole(name):
    rng = np.random.default_rng(2)
    number = rng.integers(1, 8, size=50)  # targets of each list; the lists have 5 places
    lists = np.repeat(np.arange(50), number)
    ranks = np.concatenate([rng.permutation(7)[:n] + 1 for n in number])
    ranks[ranks > 5] = 0
    hits = np.zeros((50, 6), dtype=bool)
    hits[lists, ranks] = True
    metric = getattr(recbole_metrics, name)({"topk": [5], "metric_decimal_place": 6})
    arguments = (hits[:, 1:], number)[: 2 if name in ("Recall", "NDCG") else 1]
    expected = metric.metric_info(*arguments)  # [50, 5]
    for k in (1, 3, 5):
        found = metric_per_list(ranks, lists, f"{name.lower()}@{k}")
        assert found == pytest.approx(expected[:, k - 1])


@pytest.mark.parametrize("metric", ["giniindex@10", "ndcg", "gauc"])
def test_metrics_that_are_no_mean_over_users_are_refused(metric):
    with pytest.raises(ValueError, match=metric):
        per_list(np.array([1]), metric)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 2), (3, 4), (4, 4)])
def test_smallest_p_over_seeds_is_that_of_complete_separation(n, m):
    low, high = list(range(n)), list(range(10, 10 + m))
    assert seeds_test(low, high) == pytest.approx(smallest_seeds_p(n, m))
    values = low + high
    all_p = [
        seeds_test(
            [values[i] for i in chosen], [v for i, v in enumerate(values) if i not in chosen]
        )
        for chosen in combinations(range(n + m), n)
    ]
    assert min(all_p) == pytest.approx(smallest_seeds_p(n, m))


def test_permutation_test_agrees_with_all_sign_flips_counted_one_by_one():
    first = np.array([0.9, 0.0, 0.5, 0.0, 1.0, 0.4, 0.0, 0.3])
    second = np.array([0.1, 0.2, 0.5, 0.0, 0.3, 0.0, 0.1, 0.1])
    difference = first - second
    flips = [abs(np.dot(signs, difference)) for signs in product([-1, 1], repeat=len(difference))]
    exact = np.mean(np.array(flips) >= abs(difference.sum()) - 1e-12)
    assert permutation_test(first, second) == pytest.approx(exact, abs=0.01)


def test_permutation_test_agrees_with_that_of_scipy(ranks):
    first = per_list(ranks, "ndcg@10")
    second = per_list(np.where(np.arange(300) % 9, ranks, ranks // 2), "ndcg@10")
    expected = stats.permutation_test(
        (first - second,), np.sum, permutation_type="samples", n_resamples=2000, rng=1
    ).pvalue
    assert permutation_test(first, second) == pytest.approx(expected, abs=0.03)


def test_wilcoxon_drops_users_without_a_difference(ranks):
    first = per_list(ranks, "ndcg@10")
    second = per_list(np.roll(ranks, 7), "ndcg@10")
    expected = stats.wilcoxon(first, second, zero_method="wilcox").pvalue
    assert wilcoxon_test(first, second) == pytest.approx(expected)


def test_a_clear_difference_is_found_and_noise_is_not(ranks):
    values = per_list(ranks, "ndcg@10")
    better = per_list(np.where(ranks > 1, ranks - 1, ranks), "ndcg@10")
    shuffled = np.random.default_rng(0).permutation(values)
    for test in (permutation_test, wilcoxon_test):
        assert test(better, values) < 0.001
        assert test(shuffled, values) > 0.05


def test_interval_agrees_with_the_normal_approximation_on_many_users():
    values = np.random.default_rng(1).random(20_000)
    low, high = mean_interval(values, np.ones(20_000))
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + error, abs=0.1 * error)


def test_interval_resamples_users_with_all_their_lists():
    rng = np.random.default_rng(1)
    lists = rng.integers(1, 9, size=5_000)
    sums = rng.binomial(lists, rng.random(5_000))  # users differ: their lists depend on each other
    low, high = mean_interval(sums, lists)
    mean = sums.sum() / lists.sum()
    error = 1.96 * np.std(sums - mean * lists) / np.sqrt(5_000) / lists.mean()  # of a ratio
    assert low == pytest.approx(mean - error, abs=0.1 * error)
    assert high == pytest.approx(mean + error, abs=0.1 * error)


def test_holm_by_hand_and_in_any_order():
    # 4 * .005, 3 * .01, 2 * .03, 1 * .04 -> not below the one before
    assert holm([0.005, 0.01, 0.03, 0.04]) == pytest.approx([0.02, 0.03, 0.06, 0.06])
    assert holm([0.04, 0.005, 0.03, 0.01]) == pytest.approx([0.06, 0.02, 0.06, 0.03])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_many_different_users_are_resampled_as_one_by_one():
    """In groups by narrow intervals the results are those of scipy, which takes each by itself."""
    rng = np.random.default_rng(3)
    first = rng.beta(0.4, 2.0, 20_000)
    second = first + rng.normal(0.0012, 0.1, len(first))
    lists = rng.integers(1, 4, len(first))
    found = mean_interval(first * lists, lists)
    expected = stats.bootstrap(
        (first * lists, lists),
        lambda sums, lists, axis: sums.sum(axis) / lists.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=100,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = expected.high - expected.low
    assert found == pytest.approx(tuple(expected), abs=0.08 * width)

    difference = first - second
    p = stats.ttest_1samp(difference, 0).pvalue  # which so many users make the same
    assert 0.01 < p < 0.5
    assert permutation_test(first, second) == pytest.approx(p, abs=0.015)
