import math

import numpy as np
import pytest

from recbole_genrec.evaluator.popularity_metrics import (
    head_tail_metrics,
    popularity_groups,
    popularity_shares,
)


def test_groups_have_equal_size_also_with_equal_counts():
    counts = np.array([5, 5, 5, 5, 5, 5, 0])
    groups = popularity_groups(counts, 3)
    assert np.bincount(groups).tolist() == [3, 2, 2]
    assert groups[6] == 0
    assert (np.diff(groups[:6]) >= 0).all()


def test_head_and_tail_by_hand():
    # targets 1, 2, 3, 4 with counts 9, 1, 5, 2: the head is {1, 3}; item 5 is nobody's target
    train_counts = np.array([0, 9, 1, 5, 2, 100])
    targets = np.array([1, 1, 2, 3, 4])
    recommended = np.array([[1, 5], [5, 1], [5, 3], [5, 4], [5, 4]])
    metrics = head_tail_metrics(recommended, targets, train_counts, topk=[1, 2])
    second = 1 / math.log2(3)
    assert metrics["head"] == pytest.approx(
        {"users": 3, "recall@1": 1 / 3, "ndcg@1": 1 / 3, "recall@2": 2 / 3}
        | {"ndcg@2": (1 + second) / 3}
    )
    assert metrics["tail"] == pytest.approx(
        {"users": 2, "recall@1": 0, "ndcg@1": 0, "recall@2": 1 / 2, "ndcg@2": second / 2}
    )


def test_shares_by_hand():
    train_counts = np.append(0, 20 - np.arange(20))  # two items in each decile, 1 and 2 on top
    shares = popularity_shares(
        np.array([[1, 3], [1, -1], [20, 0]]), np.array([1, 2, 20]), train_counts
    )
    assert shares["targets"] == pytest.approx([1 / 3, *[0] * 8, 2 / 3])
    assert shares["recommended"] == pytest.approx([1 / 4, *[0] * 7, 1 / 4, 2 / 4])
