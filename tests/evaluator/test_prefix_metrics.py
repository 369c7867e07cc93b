import math

import numpy as np
import pytest

from recbole_genrec.evaluator.prefix_metrics import prefix_metrics
from recbole_genrec.evaluator.ranks import first_ranks, rank_metrics

# items 1..4; 1 and 2 share two tokens, 3 shares one with them, 4 none
TOKENS = np.array([[0, 0, 0], [1, 4, 7], [1, 4, 8], [1, 5, 7], [2, 4, 7]])


def test_relaxed_hits_by_hand():
    recommended = np.array([[4, 3, 2], [4, 1, 2], [3, 2, 4]])
    targets = np.array([1, 1, 4])
    metrics = prefix_metrics(recommended, targets, TOKENS, topk=[1, 3])
    third, second = 1 / math.log2(4), 1 / math.log2(3)
    # one token: ranks 2, 2, 3; two tokens: 3, 2, 3; all three: none, 2, 3
    assert metrics[1]["ndcg@3"] == pytest.approx((second + second + third) / 3)
    assert metrics[2]["ndcg@3"] == pytest.approx((third + second + third) / 3)
    assert metrics[3]["ndcg@3"] == pytest.approx((second + third) / 3)
    assert [metrics[k]["recall@3"] for k in (1, 2, 3)] == pytest.approx([1, 1, 2 / 3])
    assert [metrics[k]["recall@1"] for k in (1, 2, 3)] == [0, 0, 0]


@pytest.mark.parametrize("empty", [0, -1])
def test_places_without_an_item_are_never_hits(empty):
    # -1 would wrap around to item 4, the target
    metrics = prefix_metrics(np.array([[empty, empty]]), np.array([4]), TOKENS, topk=[2])
    assert {value for by_k in metrics.values() for value in by_k.values()} == {0}


def test_all_tokens_give_the_usual_metrics_and_fewer_tokens_never_less():
    rng = np.random.default_rng(0)
    codes = np.array([(a, b, c) for a in range(4) for b in range(4) for c in range(4)])
    tokens = np.concatenate([np.zeros((1, 3), dtype=int), codes + [1, 5, 9]])
    recommended = np.array([rng.permutation(64)[:10] + 1 for _ in range(200)])
    targets = rng.integers(1, 65, 200)
    metrics = prefix_metrics(recommended, targets, tokens, topk=[5, 10])
    ranks = first_ranks(recommended == targets[:, None])
    assert metrics[3] == rank_metrics(ranks, [5, 10])
    for name in metrics[1]:
        assert metrics[1][name] > metrics[2][name] > metrics[3][name] > 0


def test_lists_that_are_too_short():
    with pytest.raises(ValueError, match="lists of 2 items"):
        prefix_metrics(np.array([[1, 2]]), np.array([1]), TOKENS, topk=[5])
