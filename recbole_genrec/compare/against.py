"""Every model against one reference, metric by metric: by how much, and is it more than chance?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from recbole_genrec.compare.runs import ModelRuns
from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.ranks import is_known_per_list
from recbole_genrec.evaluator.significance import (
    ALPHA,
    holm,
    mean_interval,
    permutation_test,
    seeds_test,
    smallest_seeds_p,
    wilcoxon_test,
)

TESTS = ("permutation", "wilcoxon", "seeds")


def choose_reference(
    models: Sequence[ModelRuns], name: str | None, metric: Mapping[str, Any]
) -> ModelRuns:
    """The model that the others are measured against.

    Args:
        name: of the model, or None for the best baseline in `metric`: baselines are models without
            semantic IDs, or the first model where all are of one kind.
    """
    if name is not None:
        named = [model for model in models if model.name == name]
        if not named:
            known = ", ".join(model.name for model in models)
            raise InputError(f"reference: expected one of {known}, found {name}")
        return named[0]
    baselines = [model for model in models if not model.has_semantic_ids]
    if not baselines or len(baselines) == len(models):
        return models[0]
    best = min if metric["smaller_is_better"] else max
    return best(baselines, key=lambda model: np.mean(model.values(metric["key"])))


def measure_against(
    reference: ModelRuns, models: Sequence[ModelRuns], metrics: Mapping[str, Mapping], paired: bool
) -> list[dict[str, Any]]:
    """Each other model against the reference in each metric.

    Holm's correction counts the models of one metric as one family.

    Args:
        metrics: key -> `{"smaller_is_better": ...}`.
        paired: whether the lists of all models answer the same test cases in the same order.

    Returns:
        one dict per model and metric: `difference` of the means and relative `gain`; of the tests
        over users `interval` (of the difference), `permutation_p`, `permutation_holm`,
        `wilcoxon_p`, `wilcoxon_holm` and `users_verdict`; of that over seeds `seeds_p`,
        `seeds_holm` and `seeds_verdict`. What cannot be tested is None.
    """
    others = [model for model in models if model is not reference]
    rows = []
    for key, metric in metrics.items():
        family = [_test(model, reference, key, paired) for model in others]
        for test in TESTS:
            known = [row for row in family if row[f"{test}_p"] is not None]
            corrected = holm([row[f"{test}_p"] for row in known])
            for row in family:
                row[f"{test}_holm"] = None
            for row, p in zip(known, corrected, strict=True):
                row[f"{test}_holm"] = p
        for row, model in zip(family, others, strict=True):
            sign = -1 if metric["smaller_is_better"] else 1
            enough = enough_seeds(len(model.seeds), len(reference.seeds), len(others))
            row["users_verdict"] = _verdict(row["permutation_holm"], sign * row["difference"])
            row["seeds_verdict"] = (
                _verdict(row["seeds_holm"], sign * row["difference"]) if enough else "too few seeds"
            )
        rows += family
    return rows


def enough_seeds(num_first: int, num_second: int, num_comparisons: int) -> bool:
    """Whether a test over so many seeds can be significant at all, after Holm's correction."""
    return num_comparisons * smallest_seeds_p(num_first, num_second) < ALPHA


def seeds_needed(num_comparisons: int) -> int:
    """Seeds per model from which on a test over seeds can be significant.

    >>> seeds_needed(1), seeds_needed(4)
    (4, 5)
    """
    return next(n for n in count(1) if enough_seeds(n, n, num_comparisons))


def _test(model: ModelRuns, reference: ModelRuns, metric: str, paired: bool) -> dict[str, Any]:
    mean, base = np.mean(model.values(metric)), np.mean(reference.values(metric))
    row = {
        "model": model.name,
        "reference": reference.name,
        "metric": metric,
        "difference": float(mean - base),
        "gain": float(mean / base - 1) if base else None,
        "interval": None,
        "permutation_p": None,
        "wilcoxon_p": None,
        "seeds_p": seeds_test(model.values(metric), reference.values(metric)),
    }
    alike = (
        model.recommendations
        and reference.recommendations
        and model.shares_lists == reference.shares_lists
    )
    if paired and alike and is_known_per_list(metric):
        (first, lists), (second, _) = model.by_user(metric), reference.by_user(metric)
        row["interval"] = list(mean_interval(first - second, lists))
        row["permutation_p"] = permutation_test(first, second)
        row["wilcoxon_p"] = wilcoxon_test(first, second)
    return row


def _verdict(p: float | None, improvement: float) -> str:
    if p is None:
        return "not tested"
    if p >= ALPHA:
        return "no difference shown"
    return "better" if improvement > 0 else "worse"
