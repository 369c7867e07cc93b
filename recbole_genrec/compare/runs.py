"""Finished runs of several models, read from their folders and grouped by configuration."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.ranks import metric_per_list
from recbole_genrec.evaluator.recommendations import Recommendations, align
from recbole_genrec.runs.fingerprint import ENVIRONMENT_KEYS
from recbole_genrec.runs.record import RESULT, load_finished, load_result, why_unfinished

COMPARISON = "comparison.json"
NO_SETTINGS = {*ENVIRONMENT_KEYS, "seed"}  # in which runs of one model may differ


@dataclass
class ModelRuns:
    """The runs of one model with one configuration, one per seed.

    Attributes:
        name: that of the model, with the settings that tell it from its namesakes in parentheses.
        results: records of the runs, by rising seed.
        recommendations: of their tests, in the same order; empty unless all runs kept some.
        unnamed: further settings in which it differs from its namesakes.
    """

    name: str
    results: list[dict[str, Any]]
    recommendations: list[Recommendations]
    unnamed: Sequence[str] = ()

    @property
    def seeds(self) -> list[int]:
        return [result["seed"] for result in self.results]

    @property
    def has_semantic_ids(self) -> bool:
        return any(run.codes for run in self.recommendations)

    def in_protocol(self, protocol: str) -> ModelRuns | None:
        """The same runs with results and lists in this protocol; None if one of them lacks it."""
        if any(protocol not in result["test_results"] for result in self.results):
            return None
        results = [{**r, "test_result": r["test_results"][protocol]} for r in self.results]
        kept = [run.in_protocol(protocol) for run in self.recommendations]
        known = [run for run in kept if run is not None]
        complete = len(known) == len(kept)
        return replace(self, results=results, recommendations=known if complete else [])

    def values(self, metric: str) -> list[float]:
        """A test metric of each seed."""
        return [result["test_result"][metric] for result in self.results]

    @property
    def shares_lists(self) -> bool:
        """Whether a list answers several targets, so that metrics are means over users."""
        return any(
            run.list_of_target.max(initial=-1) + 1 < len(run.users) for run in self.recommendations
        )

    def by_user(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Sum of a test metric over the lists of each user, and their number [n_users] each.

        Both are means over the seeds; sum of the sums / sum of the numbers is the test result.
        """
        values, users = [], []
        for run in self.recommendations:
            values.append(metric_per_list(run.ranks, run.list_of_target, metric))
            users.append(run.users[np.unique(run.list_of_target, return_index=True)[1]])
        user = np.unique(np.concatenate(users), return_inverse=True)[1]
        sums = np.bincount(user, np.concatenate(values))
        return sums / len(self.recommendations), np.bincount(user) / len(self.recommendations)


def read_models(
    folders: Iterable[str | os.PathLike],
) -> tuple[list[ModelRuns], list[dict[str, Any]]]:
    """The models of all finished runs in the order given, and what is to be said of other runs.

    Runs whose files are damaged are among the others: they hold nothing else up.

    Args:
        folders: of runs, or of such folders; folders of earlier comparisons are passed by.

    Raises:
        InputError: if no run is finished, or if they are not on one data set.
    """
    finished, unfinished, damaged = [], [], []
    for folder in _run_folders(folders):
        try:
            result = load_result(folder)
            if why_unfinished(result) is None:
                finished.append(load_finished(folder))
            else:
                unfinished.append(result)
        except InputError as error:
            getLogger().warning(f"left out: {error}")
            damaged.append({"folder": str(folder), "error": str(error)})
    done = {result["fingerprint"] for result, _ in finished}  # also at a later attempt
    failed = [failure(r) for r in unfinished if r["fingerprint"] not in done] + damaged
    if not finished:
        said = "; ".join(f"{run['folder']}: {run['error']}" for run in failed) or "no run"
        raise InputError(f"nothing to compare: expected finished runs, found {said}")
    datasets = {result["dataset"]: result["folder"] for result, _ in finished}
    if len(datasets) > 1:
        found = ", ".join(f"{name} in {folder}" for name, folder in datasets.items())
        raise InputError(f"expected runs on one data set, found {found}")
    return _group(finished), failed


def failure(result: dict[str, Any]) -> dict[str, Any]:
    """What is to be said of a run that does not count."""
    own = {key: result[key] for key in ("model", "seed", "folder")}
    return own | {"error": why_unfinished(result)}


def align_lists(models: Sequence[ModelRuns]) -> bool:
    """Give the lists of all models one order and one numbering of items.

    Returns:
        False if they answer different test cases, so that nothing can be paired.
    """
    aligned = align([run for model in models for run in model.recommendations])
    if aligned is None:
        return False
    runs = iter(aligned)
    for model in models:
        model.recommendations = [next(runs) for _ in model.recommendations]
    return True


def _run_folders(folders: Iterable[str | os.PathLike]) -> list[Path]:
    """The folders that hold a run, directly or one step below."""
    runs: dict[Path, None] = {}
    for folder in map(Path, folders):
        is_run = (folder / RESULT).exists()
        found = [folder] if is_run else sorted(p.parent for p in folder.glob(f"*/{RESULT}"))
        if not found and not (folder / COMPARISON).exists():
            raise InputError(f"{folder}: expected the folder of a run, which holds {RESULT}")
        runs |= dict.fromkeys(found)
    return list(runs)


def _group(finished: Sequence[tuple[dict, Recommendations | None]]) -> list[ModelRuns]:
    """One `ModelRuns` per configuration; of several runs with the same seed the latest."""
    groups: dict[str, dict[int, tuple]] = {}
    for result, recommendations in finished:
        runs = groups.setdefault(json.dumps(_settings(result), sort_keys=True), {})
        other = runs.get(result["seed"])
        if other is None or other[0]["started"] < result["started"]:
            runs[result["seed"]] = (result, recommendations)
    models = []
    for by_seed in groups.values():
        results = [by_seed[seed][0] for seed in sorted(by_seed)]
        kept = [by_seed[seed][1] for seed in sorted(by_seed)]
        complete = all(run is not None for run in kept)
        models.append(ModelRuns(results[0]["model"], results, kept if complete else []))
    _tell_apart(models)
    return models


def _settings(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result["config"].items() if key not in NO_SETTINGS}


def _tell_apart(models: Sequence[ModelRuns]) -> None:
    """Add a setting in which all models of the same name differ to their names, else all such."""
    by_name = defaultdict(list)
    for model in models:
        by_name[model.name].append(model)
    for namesakes in by_name.values():
        settings = [_settings(model.results[0]) for model in namesakes]
        texts = {
            key: [json.dumps(own.get(key)) for own in settings]
            for key in sorted({key for own in settings for key in own})
        }
        differing = [key for key, values in texts.items() if len(set(values)) > 1]
        enough = [key for key in differing if len(set(texts[key])) == len(namesakes)]
        naming = enough[:1] or differing
        for model, own in zip(namesakes, settings, strict=True):
            if naming:
                said = ", ".join(f"{key}={own.get(key)}" for key in naming)
                model.name = f"{model.name} ({said})"
                model.unnamed = [key for key in differing if key not in naming]
