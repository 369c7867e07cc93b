"""Figures of finished runs (they need matplotlib)."""

from __future__ import annotations

from typing import Any

import numpy as np

from recbole_genrec.analysis.identifiers import analyze_checkpoint, pretraining_collisions
from recbole_genrec.report.figures import (
    plot_codebooks,
    plot_collisions,
    plot_identifiers,
    save_figure,
    subplots,
)
from recbole_genrec.report.tables import Cell, Table
from recbole_genrec.reproduce.results import Results
from recbole_genrec.runs.record import load_result

# ---- "Token-Weighted Multi-Target Learning ...", arXiv 2601.17787


def popularity(results: Results) -> None:
    """Figure 2: popularity deciles of the targets and of what is recommended."""
    shares = {
        name: model["analysis"]["popularity"]
        for name, model in results.models.items()
        if model["analysis"] and model["analysis"]["popularity"]
    }
    results.keep(shares)
    figure, [[axes]] = subplots(1, 1)
    bars = {"targets": next(iter(shares.values()))["targets"]}
    bars |= {name: share["recommended"] for name, share in shares.items()}
    _grouped_bars(axes, bars, [str(decile) for decile in range(1, 11)])
    axes.set(xlabel="decile of the items, the rarest first", ylabel="share")
    save_figure(figure, results.picture)


def head_and_tail(results: Results) -> None:
    """Figure 3: the metric where the target is a popular item, and where it is a rare one."""
    found = {
        name: model["analysis"]["head_tail"]
        for name, model in results.models.items()
        if model["analysis"] and model["analysis"]["head_tail"]
    }
    results.keep(found)
    metric = next(key for key in next(iter(found.values()))["head"] if key.startswith("ndcg@"))
    figure, [[axes]] = subplots(1, 1)
    bars = {name: [each[half][metric] for half in ("head", "tail")] for name, each in found.items()}
    _grouped_bars(axes, bars, ["head", "tail"])
    axes.set(ylabel=metric.upper())
    save_figure(figure, results.picture)


def curriculum_rates(results: Results) -> None:
    """Figure 4: the metric over the rate c of the curriculum."""
    metric = _shortest_ndcg(results)
    points = {name.removeprefix("c = "): m["test"][metric] for name, m in results.models.items()}
    results.keep(points)
    figure, [[axes]] = subplots(1, 1)
    _means(axes, points)
    axes.set(xlabel="c", ylabel=metric.upper())
    save_figure(figure, results.picture)


def objective_weights(results: Results) -> None:
    """Figure 5: the shares of the objectives over the optimizer steps."""
    curves = {
        f"{name}, seed {seed}": _shares_over_steps(folder)
        for name, model in results.models.items()
        for seed, folder in zip(model["seeds"], model["folders"], strict=True)
    }
    results.keep(curves)
    figure, grid = subplots(1, len(curves))
    for axes, (name, curve) in zip(grid[0], curves.items(), strict=True):
        for objective, shares in curve["shares"].items():
            axes.plot(curve["steps"], shares, label=objective.replace("_", " "))
        axes.set(title=name, xlabel="optimizer steps", ylabel="weight", ylim=(0, 1))
        axes.legend()
    save_figure(figure, results.picture)


def _shares_over_steps(folder: str) -> dict[str, Any]:
    """Shares of the objectives at the start, which the curriculum sets, and as they were noted."""
    start = {"step": 0, "front_greater": 0.5, "frequency": 0.0, "cross_entropy": 0.5}
    noted = [start, *load_result(folder)["objective_weights"]]
    steps, *shares = ([each[name] for each in noted] for name in start)
    return {"steps": steps, "shares": dict(zip(list(start)[1:], shares, strict=True))}


# ---- UniGRec, arXiv 2601.17438


def collisions(results: Results) -> None:
    """Figure 3: collision rate over the tokenizer's own stage, and over joint training."""
    analyses = _analyses(results)
    for name, analysis in analyses.items():
        analysis["pretraining"] = pretraining_collisions(results.checkpoints[name][0])
    kept = ("pretraining", "joint_training")
    results.keep({name: {k: each[k] for k in kept} for name, each in analyses.items()})
    plot_collisions(analyses, results.picture)


def uniformity(results: Results) -> None:
    """Figure 4: collisions at the tested epoch and the metrics, over the weight of Eq. 17."""
    rates = {
        name: [analyze_checkpoint(path)["joint_training"][-1]["collision_rate"] for path in paths]
        for name, paths in results.checkpoints.items()
    }
    metrics = [metric["key"] for metric in results.comparison["metrics"]]
    rows = []
    for name, model in results.models.items():
        rate = float(np.mean(rates[name]))
        means = [model["test"][key]["mean"] for key in metrics]
        rows.append([Cell(name, name), Cell(f"{rate:.2%}", rate)])
        rows[-1] += [Cell(f"{mean:.4f}", mean) for mean in means]
    names = [metric["name"] for metric in results.comparison["metrics"]]
    results.show(Table("Codeword uniformity", ["lambda_CU", "Collisions", *names], rows))
    figure, [[left]] = subplots(1, 1)
    places = range(len(rows))
    left.bar(places, [row[1].value for row in rows], color="0.8")
    left.set(xlabel="lambda_CU", ylabel="collision rate (bars)", xticks=places)
    left.set_xticklabels([row[0].text for row in rows])
    right = left.twinx()
    for place, name in enumerate(names, 2):
        right.plot(places, [row[place].value for row in rows], marker="o", label=name)
    right.set(ylim=(0, None))
    right.legend()
    save_figure(figure, results.picture)


def codebooks(results: Results) -> None:
    """Figure 5: spread and usage of the codewords."""
    analyses = _analyses(results)
    results.keep({name: each["codebooks"] for name, each in analyses.items()})
    plot_codebooks(analyses, results.picture)


def identifiers(results: Results) -> None:
    """Figure 6: which levels of the identifiers joint training has changed."""
    changes = {name: each["identifiers"] for name, each in _analyses(results).items()}
    results.keep(changes)
    plot_identifiers(changes, results.picture)


def _analyses(results: Results) -> dict[str, dict[str, Any]]:
    """Of the first seed of each row."""
    return {name: analyze_checkpoint(paths[0]) for name, paths in results.checkpoints.items()}


# ---- drawing


def _shortest_ndcg(results: Results) -> str:
    keys = [m["key"] for m in results.comparison["metrics"] if m["key"].startswith("ndcg@")]
    return min(keys, key=lambda key: int(key.partition("@")[2]))


def _grouped_bars(axes: Any, bars: dict[str, list[float]], names: list[str]) -> None:
    width = 0.8 / len(bars)
    places = np.arange(len(names))
    for number, (label, heights) in enumerate(bars.items()):
        axes.bar(places + (number - (len(bars) - 1) / 2) * width, heights, width, label=label)
    axes.set_xticks(places, names)
    axes.legend()


def _means(axes: Any, points: dict[str, dict[str, Any]]) -> None:
    """Means with their standard deviations, over the names in their order."""
    means = [point["mean"] for point in points.values()]
    axes.errorbar(list(points), means, [point["std"] or 0 for point in points.values()], marker="o")
