"""What seen items take, and results by the kind of the target: against hand-worked lists."""

from dataclasses import replace

import numpy as np
import pytest

from recbole_genrec.evaluator.diagnosis import by_popularity, by_transition, seen_items
from recbole_genrec.evaluator.lists import analyze, average
from recbole_genrec.evaluator.protocols import MASKED
from recbole_genrec.evaluator.ranks import rank_metrics
from tests.made_up_runs import made_up_recommendations, with_masked


def test_shares_of_seen_items_by_hand():
    r = with_masked(made_up_recommendations(users=3, k=4))
    r = replace(
        r,
        items=np.array([[1, 2, 3, 4], [5, 6, 0, 0], [7, 0, 0, 0]]),
        seen=np.array([[1, 0, 1, 1], [0, 1, 0, 0], [1, 0, 0, 0]], dtype=bool),
        target_seen=np.array([True, False, False]),
    )
    # of the first 3 places 3, 2 and 1 hold an item, and 2, 1 and 1 of these were seen
    expected = {"places": 4 / 6, "first": 2 / 3, "targets": 1 / 3}
    assert seen_items(r, 3) == pytest.approx(expected)
    assert seen_items(r.in_protocol(MASKED), 3) == pytest.approx(expected)


def test_old_lists_do_not_say_what_was_seen():
    r = made_up_recommendations()
    found = analyze(r, [5])
    assert found["seen_items"] is None and found["by_transition"] is None
    assert found["by_popularity"] is not None


def test_deciles_are_of_the_items_by_hand():
    popularity = np.append(0, np.arange(20)[::-1])  # item 1 the most popular, two items a decile
    targets, ranks = np.array([1, 2, 2, 3, 20]), np.array([1, 0, 2, 5, 1])
    groups = by_popularity(ranks, targets, popularity, [2])
    assert [group["users"] for group in groups] == [1, 0, 0, 0, 0, 0, 0, 0, 1, 3]
    assert [groups[n]["recall@2"] for n in (0, 8, 9)] == pytest.approx([1, 0, 2 / 3])
    assert groups[1]["recall@2"] is None
    assert groups[9]["ndcg@2"] == pytest.approx((1 + 1 / np.log2(3)) / 3)


def test_transitions_by_hand():
    ranks, known = np.array([1, 0, 3, 2]), np.array([True, True, False, False])
    found = by_transition(ranks, known, [2])
    assert (found["seen"]["users"], found["new"]["users"]) == (2, 2)
    assert found["seen"]["recall@2"] == found["new"]["recall@2"] == 0.5
    assert found["seen"]["ndcg@2"] == 0.5 and found["new"]["ndcg@2"] == 0.5 / np.log2(3)
    assert by_transition(ranks, ~known & known, [2])["seen"] == {
        "users": 0,
        "recall@2": None,
        "ndcg@2": None,
    }


def test_groups_add_up_to_the_whole_and_have_an_average():
    r = with_masked(made_up_recommendations(users=80))
    found = analyze(r, [5, 10])
    for groups in (found["by_popularity"], found["by_transition"].values()):
        for metric, value in rank_metrics(r.ranks, [5, 10]).items():
            total = sum(g["users"] * g[metric] for g in groups if g["users"])
            assert total / 80 == pytest.approx(value)
    twice = average([found, found])
    for name in ("by_transition", "by_popularity", "seen_items"):
        assert twice[name] == found[name]
