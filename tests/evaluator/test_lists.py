"""Analyses against hand-worked lists, RecBole's metrics and each other's totals."""

from dataclasses import replace

import numpy as np
import pytest

from recbole_genrec.evaluator import metrics
from recbole_genrec.evaluator.lists import (
    analyze,
    average,
    beyond_accuracy,
    history_length,
    items_per_code,
    overlap,
)
from recbole_genrec.evaluator.ranks import rank_metrics
from recbole_genrec.evaluator.recommendations import align
from tests.made_up_runs import made_up_recommendations


def test_beyond_accuracy_by_hand():
    items = np.array([[1, 2], [1, 0]])  # item 1 twice, item 2 once, item 3 never, one empty slot
    popularity = np.array([0, 6, 2, 0])
    found = beyond_accuracy(items, popularity)
    assert found["coverage"] == pytest.approx(2 / 3)
    assert found["filled"] == pytest.approx(3 / 4)
    # shares 6/8 twice and 2/8 once
    assert found["novelty"] == pytest.approx((2 * np.log2(8 / 6) + np.log2(8 / 2)) / 3)
    # sorted times 0, 1, 2: mean absolute difference of all 9 pairs is 8/9, twice the mean is 2
    assert found["gini"] == pytest.approx((8 / 9) / 2)


def test_coverage_and_gini_are_those_of_recbole():
    r = made_up_recommendations()
    found = beyond_accuracy(r.items, r.popularity)
    n = len(r.popularity) - 1
    assert found["coverage"] == pytest.approx(metrics.ItemCoverage.get_coverage(None, r.items, n))
    assert found["gini"] == pytest.approx(metrics.GiniIndex.get_gini(None, r.items, n))


def test_empty_lists_are_no_reason_to_fail():
    r = made_up_recommendations()
    found = analyze(replace(r, items=np.zeros_like(r.items)), [5])
    assert found["beyond_accuracy"] == {"coverage": 0, "gini": 0, "novelty": 0, "filled": 0}
    assert found["popularity"] is None
    assert found["head_tail"]["tail"]["recall@5"] == 0


def test_history_groups_by_hand():
    lengths = np.array([2, 2, 2, 3, 5, 9, 9, 40])
    ranks = np.array([1, 0, 0, 2, 0, 0, 3, 1])
    groups = history_length(ranks, lengths, [2])
    assert [(g["from"], g["to"], g["users"]) for g in groups] == [
        (2, 2, 3),
        (3, 3, 1),
        (5, 9, 3),
        (40, 40, 1),
    ]
    assert [g["recall@2"] for g in groups] == pytest.approx([1 / 3, 1, 0, 1])


@pytest.mark.parametrize("sets", [(), ("",), ("", "behavior")], ids=str)
def test_groups_add_up_to_the_test_result(sets):
    r = made_up_recommendations(levels=3, sets=sets)
    found = analyze(r, [5, 10])
    expected = rank_metrics(r.ranks, [5, 10])
    for groups in (found["history_length"], found["head_tail"].values()):
        for metric, value in expected.items():
            assert sum(g["users"] * g[metric] for g in groups) / 60 == pytest.approx(value)
    for shares in found["popularity"].values():
        assert sum(shares) == pytest.approx(1)
    assert set(found["prefix"]) == set(found["items_per_code"]) == set(sets)
    for name in sets:
        prefix = found["prefix"][name]
        assert prefix["3"] == pytest.approx(expected)
        assert prefix["1"]["recall@10"] >= prefix["2"]["recall@10"]
        assert [sum(counts) for counts in found["items_per_code"][name]] == [40] * 3


def test_items_per_code_by_hand():
    codes = np.array([[0, 0], [2, 0], [2, 1], [0, 1]])
    assert items_per_code(codes) == [[1, 0, 2], [1, 2]]


def test_overlap_by_hand():
    r = made_up_recommendations(users=3, k=4)
    first = replace(
        r, targets=np.array([1, 9, 9]), items=np.array([[1, 2, 3, 0], [4, 9, 5, 6], [1, 2, 0, 0]])
    )
    second = replace(first, items=np.array([[3, 1, 2, 0], [4, 7, 8, 1], [9, 0, 0, 0]]))
    found = overlap(first, second, 2)
    # tops of 2: {1, 2} and {3, 1}; {4, 9} and {4, 7}; {1, 2} and {9}
    assert found["shared"] == pytest.approx((1 + 1 + 0) / 3 / 2)
    assert found["hits_both"] == pytest.approx(1 / 3)
    assert found["hits_first"] == pytest.approx(1 / 3)
    assert found["hits_second"] == pytest.approx(1 / 3)


def test_overlap_of_a_model_with_itself_is_complete():
    r = made_up_recommendations()
    found = overlap(r, r, 10)
    assert found["shared"] == 1
    assert found["hits_first"] == found["hits_second"] == 0
    assert found["hits_both"] == pytest.approx((r.ranks > 0).mean())


def test_align_finds_the_same_lists_behind_other_numbers_and_orders():
    r = made_up_recommendations(levels=3, sets=("", "behavior"))
    rng = np.random.default_rng(5)
    rows, shuffled = rng.permutation(60), rng.permutation(40) + 1  # other order, other item ids
    new_id = np.append(0, shuffled)
    tokens, popularity = r.item_tokens.copy(), r.popularity.copy()
    tokens[new_id], popularity[new_id] = r.item_tokens, r.popularity
    codes = {name: np.zeros_like(own) for name, own in r.codes.items()}
    for name, own in r.codes.items():
        codes[name][new_id] = own
    other = replace(
        r,
        users=r.users[rows],
        targets=new_id[r.targets][rows],
        items=new_id[r.items][rows],
        history_lengths=r.history_lengths[rows],
        histories=new_id[r.histories][rows],
        item_tokens=tokens,
        popularity=popularity,
        codes=codes,
    )
    first, second = align([r, other])
    np.testing.assert_equal(vars(first), vars(second))
    assert first.item_tokens[first.targets].tolist() == [
        r.item_tokens[target] for _, target in sorted(zip(r.users, r.targets, strict=True))
    ]
    assert analyze(second, [10]) == analyze(first, [10])


def test_align_refuses_other_test_cases():
    r = made_up_recommendations()
    targets = r.targets.copy()
    targets[7] = targets[7] % 40 + 1
    assert align([r, replace(r, targets=targets)]) is None
    assert align([r, made_up_recommendations(users=59)]) is None


def test_average_is_taken_number_by_number():
    first = {"a": [1.0, {"b": 2}], "none": None, "items_per_code": [[1, 2]]}
    second = {"a": [3.0, {"b": 5}], "none": None, "items_per_code": [[1, 2, 3]]}
    expected = {"a": [2.0, {"b": 3.5}], "none": None, "items_per_code": [[1, 2]]}
    assert average([first, second]) == expected


def test_groups_that_are_not_the_same_have_no_average():
    topk, ranks = [5], np.array([1, 2, 0, 3])
    two, four = (
        history_length(ranks, np.array(lengths), topk) for lengths in ([1, 1, 9, 9], [1, 2, 3, 4])
    )
    assert (len(two), len(four)) == (2, 4)
    assert average([{"history_length": two}, {"history_length": four}]) == {"history_length": None}
