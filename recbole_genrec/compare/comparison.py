"""All that is to be said of several finished runs, as plain values.

The dictionary that `compare` returns is what tables and report show, and their JSON form.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from recbole.evaluator.register import metrics_dict

from recbole_genrec.compare.against import (
    choose_reference,
    enough_seeds,
    measure_against,
    seeds_needed,
)
from recbole_genrec.compare.examples import pick_examples
from recbole_genrec.compare.runs import ModelRuns, align_lists, read_models
from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.lists import analyze, average, overlap
from recbole_genrec.evaluator.protocols import chosen_protocol, other_protocol
from recbole_genrec.evaluator.ranks import is_known_per_list
from recbole_genrec.evaluator.significance import mean_interval
from recbole_genrec.plain import to_json

FORMAT = 3
TESTED_ALIKE = ("eval_args", "repeatable", "user_inter_num_interval", "item_inter_num_interval")


def compare(
    folders: Iterable[str | os.PathLike],
    reference: str | None = None,
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Compare finished runs on one data set.

    Args:
        folders: of runs, or folders of such folders.
        reference: name of the model that the others are measured against; by default the best model
            without semantic IDs, or the first one where all models are of one kind.
        names: folder of a run -> what to call its model, which otherwise is told from its namesakes
            by the settings in which they differ.

    Returns:
        plain values: `dataset`, `settings` (of the evaluation), `protocol` (`unmasked` or `masked`:
        that in which the runs, or else the first one, chose the epoch; figures are in it), `paired`
        (whether all had the same test cases), `test_cases`, `metrics`, `selection_metric`,
        `reference`, `models` (see `_summary`), `tests` (see `measure_against`), `other`, what of
        these is to be said in the other protocol (see `_in_other_protocol`; None where no run knows
        it), `overlap` of pairs of models, `examples`, `failed` runs and `notes`, what a reader has
        to know.

    Raises:
        InputError: if no run is finished, or if the runs have no data set, settings of evaluation
            or metric in common.
    """
    read, failed = read_models(folders)
    if names is not None:
        for model in read:
            model.name, model.unnamed = names[model.results[0]["folder"]], ()
    first = read[0].results[0]
    protocol = chosen_protocol(first["config"].get("repeatable"))
    models = [found for model in read if (found := model.in_protocol(protocol)) is not None]
    _check_tested_alike([r for model in read for r in model.results], len(models) == len(read))
    results = [result for model in models for result in model.results]
    metrics = _common_metrics(results)
    selection = results[0]["valid_metric"]
    selection = selection if selection in metrics else next(iter(metrics))
    paired = align_lists(models)
    base = choose_reference(models, reference, metrics[selection])
    topk = sorted({int(key.partition("@")[2]) for key in metrics if "@" in key})
    config = results[0]["config"]
    lists = {model.name: model.recommendations[0] for model in models if model.recommendations}
    return to_json(
        {
            "format": FORMAT,
            "dataset": results[0]["dataset"],
            "settings": {key: config[key] for key in TESTED_ALIKE if key in config},
            "protocol": protocol,
            "paired": paired,
            "test_cases": sorted({len(run.users) for run in lists.values()}),
            "metrics": list(metrics.values()),
            "selection_metric": selection,
            "reference": base.name,
            "models": [_summary(model, metrics, topk) for model in models],
            "tests": measure_against(base, models, metrics, paired),
            "other": _in_other_protocol(models, base, metrics, paired, other_protocol(protocol)),
            "overlap": _overlaps(lists, topk[-1]) if paired and topk else [],
            "examples": pick_examples(lists, config) if paired and lists else [],
            "failed": failed,
            "notes": _notes(models, base, metrics, paired),
        }
    )


def _check_tested_alike(results: Sequence[Mapping[str, Any]], know_protocols: bool) -> None:
    """Refuse runs that were tested otherwise; each knows both protocols if it is a recent one."""
    first = results[0]
    for result in results:
        for key in TESTED_ALIKE:
            if key == "repeatable" and know_protocols:
                continue
            expected, found = first["config"].get(key), result["config"].get(key)
            if found != expected:
                raise InputError(
                    f"expected runs that were tested alike, found {key} [{expected}] in "
                    f"{first['folder']} and [{found}] in {result['folder']}"
                )


def _common_metrics(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The metrics that all tests have: key -> key, name as configured, direction."""
    configured = {name.lower(): name for name in results[0]["config"]["metrics"]}
    metrics = {}
    for key in results[0]["test_result"]:
        if all(result["test_result"].get(key) is not None for result in results):
            metric, at, k = key.partition("@")
            metrics[key] = {
                "key": key,
                "name": f"{configured.get(metric, metric)}{at}{k}",
                "smaller_is_better": metric in metrics_dict and metrics_dict[metric].smaller,
            }
    if not metrics:
        found = "; ".join(f"{r['folder']} has {', '.join(r['test_result'])}" for r in results)
        raise InputError(f"expected runs with a test metric in common, found: {found}")
    return metrics


def _in_other_protocol(
    models: Sequence[ModelRuns],
    base: ModelRuns,
    metrics: Mapping[str, Any],
    paired: bool,
    protocol: str,
) -> dict[str, Any] | None:
    """`protocol`, `models` (name -> `test` and `interval`) and `tests` of those that know it."""
    known = [found for model in models if (found := model.in_protocol(protocol)) is not None]
    known = [model for model in known if all(_has(result, metrics) for result in model.results)]
    if not known:
        return None
    bases = [model for model in known if model.name == base.name]
    return {
        "protocol": protocol,
        "models": {model.name: _figures(model, metrics) for model in known},
        "tests": measure_against(bases[0], known, metrics, paired) if bases else [],
    }


def _has(result: Mapping[str, Any], metrics: Mapping[str, Any]) -> bool:
    return all(result["test_result"].get(key) is not None for key in metrics)


def _figures(model: ModelRuns, metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "test": {key: spread(model.values(key)) for key in metrics},
        "interval": {
            key: mean_interval(*model.by_user(key))
            for key in metrics
            if model.recommendations and is_known_per_list(key)
        },
    }


def _summary(model: ModelRuns, metrics: Mapping[str, Any], topk: Sequence[int]) -> dict[str, Any]:
    """The figures of one model: means and standard deviations over its seeds."""
    results = model.results
    return {
        "name": model.name,
        "model": results[0]["model"],
        "has_semantic_ids": model.has_semantic_ids,
        "seeds": model.seeds,
        "folders": [result["folder"] for result in results],
        **_figures(model, metrics),
        "valid_metric": results[0]["valid_metric"],
        "parameters": spread([result["parameters"] for result in results]),
        "minutes": spread([result["seconds"]["training"] / 60 for result in results]),
        "peak_memory": max(result["peak_memory"] for result in results),
        "epochs": spread([result["epochs_trained"] for result in results]),
        "steps": spread([result["steps"] for result in results]),
        "device": _device(results[0]),
        "learning_curves": [
            {"epochs": result["learning_curve"], **{k: result[k] for k in ("seed", "best_epoch")}}
            for result in results
        ],
        "analysis": average([analyze(run, topk) for run in model.recommendations])
        if model.recommendations and topk
        else None,
        "tokenizer_reports": results[0]["tokenizer_reports"],
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (None for a single value) and the values themselves."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std, "values": list(values)}


def _overlaps(lists: Mapping[str, Any], k: int) -> list[dict[str, Any]]:
    return [
        {"first": a, "second": b, "k": k, **overlap(lists[a], lists[b], k)}
        for a, b in combinations(lists, 2)
    ]


def _notes(
    models: Sequence[ModelRuns], base: ModelRuns, metrics: Mapping[str, Any], paired: bool
) -> list[str]:
    """What a reader has to know before believing the figures."""
    notes = []
    if not paired:
        notes.append(
            "The runs were tested on different users or targets, so their figures cannot be "
            "compared, and nothing is tested over users. Give all runs the same eval_args and "
            "filters."
        )
    over_users = [model.name for model in models if model.recommendations and model.shares_lists]
    if over_users and any(model.recommendations and not model.shares_lists for model in models):
        notes.append(
            f"Metrics of {', '.join(over_users)} are means over users, whose list answers several "
            "targets, those of the others means over targets: they cannot be compared."
        )
    unknown = [metric["name"] for key, metric in metrics.items() if not is_known_per_list(key)]
    if unknown:
        notes.append(f"No interval and no test over users: of {', '.join(unknown)}.")
    chosen = {m.name: chosen_protocol(m.results[0]["config"].get("repeatable")) for m in models}
    if len(set(chosen.values())) > 1:
        said = ", ".join(f"{name} {protocol}" for name, protocol in chosen.items())
        notes.append(f"Epochs were not chosen alike (repeatable): {said}.")
    old = [m.name for m in models if len(m.results[0]["test_results"]) < 2]
    if old and len(old) < len(models):
        notes.append(f"In one protocol alone: {', '.join(old)}, of an earlier version.")
    unnamed = sorted({key for model in models for key in model.unnamed})
    if unnamed:
        notes.append(f"Models that are named by one setting also differ in {', '.join(unnamed)}.")
    without = [model.name for model in models if not model.recommendations]
    if without:
        notes.append(
            f"No lists were kept by {', '.join(without)}: no analyses, no tests over users."
        )
    others = [model for model in models if model is not base]
    if any(not enough_seeds(len(m.seeds), len(base.seeds), len(others)) for m in others):
        seeds = sorted({len(model.seeds) for model in models})
        notes.append(
            f"Too few seeds ({', '.join(map(str, seeds))} per model) to conclude from a test over "
            f"seeds: {len(others)} comparison{'s' * (len(others) > 1)} at p < 0.05 "
            f"need {seeds_needed(len(others))} each."
        )
    selections = sorted({result["valid_metric"] for m in models for result in m.results})
    if len(selections) > 1:
        notes.append(f"Epochs were chosen by different metrics: {', '.join(selections)}.")
    devices = sorted({_device(result) for m in models for result in m.results})
    if len(devices) > 1:
        notes.append(f"Minutes and memory are of different hardware: {'; '.join(devices)}.")
    return notes


def _device(result: Mapping[str, Any]) -> str:
    hardware = result["hardware"]
    threads, processes = hardware["threads"], hardware.get("processes", 1)
    each = hardware.get("gpu") or f"{hardware['processor']}, {threads} thread{'s' * (threads > 1)}"
    return each if processes == 1 else f"{processes} x {each}"
