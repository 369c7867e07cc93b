"""RecBole's metrics of whole lists, for lists that are not full, and the evaluator that has them.

RecBole takes every entry of a list for an item. Where a model recommends fewer items than asked,
the entry is the padding item 0, which counts nowhere here. On full lists the numbers are RecBole's.
"""

import numpy as np
from recbole.evaluator import Evaluator
from recbole.evaluator import metrics as recbole_metrics

from recbole_genrec.evaluator.counts import coverage, gini, times_recommended


class ItemCoverage(recbole_metrics.ItemCoverage):
    """Share of all items that are recommended to anyone."""

    def get_coverage(self, item_matrix, num_items):
        return coverage(times_recommended(item_matrix, num_items))


class ShannonEntropy(recbole_metrics.ShannonEntropy):
    """Entropy of the items over all lists, divided by their number as RecBole does."""

    def get_entropy(self, item_matrix):
        _, counts = np.unique(item_matrix[item_matrix > 0], return_counts=True)
        if len(counts) == 0:
            return 0.0
        p = counts / counts.sum()
        return float(-(p * np.log(p)).sum() / len(counts))


class GiniIndex(recbole_metrics.GiniIndex):
    """Inequality of how often items are recommended: 0 all alike, 1 always the same one."""

    def get_gini(self, item_matrix, num_items):
        return gini(times_recommended(item_matrix, num_items))


class _MeanOverList:
    """Mean over the items that a list holds of a value per item, for every list length."""

    def metric_info(self, values):
        return values.filled(0).cumsum(axis=1) / np.maximum((~values.mask).cumsum(axis=1), 1)


class AveragePopularity(_MeanOverList, recbole_metrics.AveragePopularity):
    """Mean number of training interactions of the recommended items."""

    def get_pop(self, item_matrix, item_count):
        return _lookup(item_matrix, item_count)


class TailPercentage(_MeanOverList, recbole_metrics.TailPercentage):
    """Share of the recommended items that belong to the least popular ones (`tail_ratio`)."""

    def get_tail(self, item_matrix, count_items):
        by_count = sorted(count_items, key=lambda item: (count_items[item], item))
        if self.tail > 1:
            tail = [item for item in by_count if count_items[item] <= self.tail]
        else:
            tail = by_count[: max(int(len(by_count) * self.tail), 1)]
        return _lookup(item_matrix, dict.fromkeys(tail, 1))


def _lookup(item_matrix: np.ndarray, value: dict[int, int]) -> np.ma.MaskedArray:
    """The value of each item, 0 for those without; entries without an item are masked."""
    table = np.zeros(max(item_matrix.max(), *value, 0) + 1)
    table[list(value)] = list(value.values())
    return np.ma.array(table[item_matrix], mask=item_matrix <= 0)


WHOLE_LIST_METRICS = (
    ItemCoverage,
    ShannonEntropy,
    GiniIndex,
    AveragePopularity,
    TailPercentage,
)


class GenRecEvaluator(Evaluator):
    """RecBole's Evaluator with the metrics of this module in the place of RecBole's."""

    def __init__(self, config):
        super().__init__(config)
        for metric_class in WHOLE_LIST_METRICS:
            name = metric_class.__name__.lower()
            if name in self.metric_class:
                self.metric_class[name] = metric_class(config)
