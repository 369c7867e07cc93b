"""What counts as recommended, and that ranked lists and dense scores give the same metrics."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from recbole.evaluator import Collector, Evaluator
from recbole.evaluator.collector import DataStruct
from recbole.utils import EvaluatorType

from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.collector import GenRecCollector, RankedItems
from recbole_genrec.evaluator.metrics import GenRecEvaluator

METRICS = [
    *("Recall", "MRR", "NDCG", "Hit", "Precision", "MAP"),
    *("ItemCoverage", "AveragePopularity", "ShannonEntropy", "GiniIndex", "TailPercentage"),
]
INF = float("inf")


class Settings(dict):
    """The few settings that collector and evaluator read; others are None as in RecBole."""

    def __missing__(self, key):
        return None


def settings(metrics=METRICS, topk=(2, 4)):
    return Settings(
        metrics=list(metrics),
        topk=list(topk),
        device=torch.device("cpu"),
        eval_args={"mode": {"valid": "full", "test": "full"}},
        metric_decimal_place=6,
        eval_type=EvaluatorType.RANKING,
    )


def evaluate(
    batches,
    counts,
    metrics=METRICS,
    topk=(2, 4),
    collector=GenRecCollector,
    evaluator=GenRecEvaluator,
):
    """Metrics of batches (scores or lists, positive_u, positive_i) over len(counts) items."""
    config = settings(metrics, topk)
    made = collector(config)
    made.data_struct.set("data.num_items", len(counts))
    made.data_struct.set("data.count_items", dict(enumerate(counts, start=1)))
    for scores, positive_u, positive_i in batches:
        made.eval_batch_collect(scores, None, torch.tensor(positive_u), torch.tensor(positive_i))
    return evaluator(config).evaluate(made.get_data_struct())


def random_batches(rng, users=7, items=20):
    for _ in range(3):
        scores = torch.from_numpy(rng.permuted(np.arange(users * items)).reshape(users, items))
        scores = scores.float()
        scores[:, 0] = -INF
        positive_u = np.repeat(np.arange(users), 2)
        positive_i = rng.integers(1, items, 2 * users)
        yield scores, positive_u.tolist(), positive_i.tolist()


def test_full_lists_give_recboles_numbers():
    """RecBole's own collector and metrics, those where they do not crash."""
    metrics = [*METRICS[:6], "ShannonEntropy"]
    batches = list(random_batches(np.random.default_rng(0)))
    ours = evaluate(batches, [1] * 19, metrics)
    theirs = evaluate(batches, [1] * 19, metrics, (2, 4), _RecBoleCollector, Evaluator)
    assert {k: float(v) for k, v in ours.items()} == pytest.approx(dict(theirs))


class _RecBoleCollector(Collector):
    def get_data_struct(self):  # which calls .cpu() on counts
        for key in ("data.num_items", "data.count_items"):
            del self.data_struct[key]
        return super().get_data_struct()


def test_lists_of_a_model_give_the_numbers_of_its_dense_scores():
    batches = list(random_batches(np.random.default_rng(1)))
    lists = []
    for scores, positive_u, positive_i in batches:
        top = scores.topk(5)
        lists.append((RankedItems(top.indices, top.values), positive_u, positive_i))
    counts = list(range(1, 20))
    assert evaluate(lists, counts) == evaluate(batches, counts)


def test_ties_at_minus_infinity_are_no_hits_and_in_no_list():
    """Two of five items are scored; RecBole fills the lists with whatever stands first."""
    scores = torch.full((3, 6), -INF)
    scores[:, 2], scores[:, 5] = 1.0, 2.0
    everything = [(scores, [0, 1, 2], [2, 1, 4])]
    result = evaluate(everything, [10, 20, 30, 40, 50])
    assert result["hit@2"] == result["hit@4"] == pytest.approx(1 / 3, abs=1e-6)
    assert result["itemcoverage@4"] == pytest.approx(2 / 5)
    assert result["averagepopularity@4"] == pytest.approx((20 + 50) / 2)  # items 2 and 5
    assert result["averagepopularity@2"] == pytest.approx((20 + 50) / 2)
    assert result["shannonentropy@4"] == pytest.approx(np.log(2) / 2, abs=1e-6)
    # P = (0, 0, 0, 3, 3): sum of (2i - 6) P / (5 * 6)
    assert result["giniindex@4"] == pytest.approx((2 * 3 + 4 * 3) / 30)
    assert result["tailpercentage@4"] == 0.0  # the tail is item 1

    ranked = RankedItems(torch.tensor([[5, 2, -1]] * 3), torch.tensor([[2.0, 1.0, -INF]] * 3))
    assert evaluate([(ranked, [0, 1, 2], [2, 1, 4])], [10, 20, 30, 40, 50]) == result


def test_nothing_recommended_at_all():
    result = evaluate([(torch.full((2, 4), -INF), [0, 1], [1, 2])], [5, 5, 5])
    assert set(map(float, result.values())) == {0.0}


def test_padding_is_in_no_list_and_no_hit():
    ranked = RankedItems(torch.tensor([[0, 3]]), torch.tensor([[2.0, 1.0]]))
    result = evaluate([(ranked, [0], [0])], [1, 1, 1], topk=(2,))
    assert result["hit@2"] == 0.0
    assert result["itemcoverage@2"] == pytest.approx(1 / 3, abs=1e-6)


def test_a_catalogue_smaller_than_the_list_is_ranked_whole():
    scores = torch.tensor([[-INF, 1.0, 2.0]])
    assert evaluate([(scores, [0], [1])], [1, 1], topk=(2, 10))["hit@10"] == 1.0


def test_nan_scores_are_an_error():
    scores = torch.zeros(2, 5)
    scores[1, 3] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        evaluate([(scores, [0, 1], [1, 1])], [1] * 4)


def test_list_metrics_agree_with_recboles_formulas():
    """On full lists; that RecBole's own never run is the fault of its collector."""
    from recbole.evaluator import metrics as recbole_metrics

    rng = np.random.default_rng(2)
    counts = dict(enumerate(rng.integers(1, 9, 19).tolist(), start=1))
    batches = list(random_batches(rng))
    ours = evaluate(batches, list(counts.values()))

    struct = DataStruct()
    struct.set("rec.items", torch.cat([scores.topk(4).indices for scores, _, _ in batches]))
    struct.set("data.num_items", 19)
    struct.set("data.count_items", counts)
    for name in METRICS[6:]:
        theirs = getattr(recbole_metrics, name)(settings()).calculate_metric(struct)
        assert {k: float(v) for k, v in theirs.items()} == pytest.approx(
            {k: float(ours[k]) for k in theirs}
        )


def test_the_padding_item_is_not_one_of_the_catalogue():
    made = GenRecCollector(settings(["ItemCoverage"]))
    dataset = SimpleNamespace(num=lambda field: {"item_id": 6}[field])
    made.config["ITEM_ID_FIELD"] = "item_id"
    made.data_collect(SimpleNamespace(dataset=dataset))
    assert made.get_data_struct().get("data.num_items") == 5
    assert made.get_data_struct().get("data.num_items") == 5  # kept for the next evaluation


def test_recommended_items_can_be_taken_once():
    made = GenRecCollector(settings(["Recall"]))
    for _ in range(2):
        made.eval_batch_collect(
            torch.tensor([[-INF, 3.0, 1.0, -INF]]), None, torch.tensor([0]), torch.tensor([1])
        )
    assert made.take_lists().tolist() == [[1, 2, 0, 0]] * 2
    assert made.take_lists() is None


def test_gauc_still_works():
    scores = torch.tensor([[-INF, 3.0, 2.0, 1.0]])
    assert evaluate([(scores, [0], [2])], [1, 1, 1], ["GAUC"]) == {"gauc": 0.5}
