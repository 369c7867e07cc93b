"""Pictures by matplotlib, where it is installed: of tokenizers, codebooks and identifiers.

The page of a comparison has no need of it: `charts` writes its SVG, which can be read with the
mouse and in print, and looks as the page does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_genrec.errors import InputError
from recbole_genrec.files import replacing
from recbole_genrec.report.codebooks import set_title
from recbole_genrec.tokenizer.quality.format import known_columns


def plot_codebooks(analyses: dict[str, dict[str, Any]], path: str | Path) -> None:
    """Figure 5: one row per set of semantic IDs, one panel per level."""
    books = {
        set_title(model, name): levels
        for model, analysis in analyses.items()
        for name, levels in analysis["codebooks"].items()
    }
    figure, grid = subplots(len(books), max(map(len, books.values())))
    for row, (name, levels) in zip(grid, books.items(), strict=True):
        for panel, (axes, level) in enumerate(zip(row, levels, strict=False), 1):
            axes.scatter(*zip(*level["points"], strict=True), s=8, alpha=0.7)
            entropy, most = level["entropy"], level["max_entropy"]
            axes.set(title=f"{name}, level {panel}", xlabel=f"entropy {entropy:.2f} of {most:.2f}")
    save_figure(figure, path)


def plot_identifiers(changes: dict[str, dict[str, Any]], path: str | Path) -> None:
    """Figure 6: change rate per level, and the share of items by the levels that changed."""
    figure, grid = subplots(len(changes), 2)
    for (left, right), (name, change) in zip(grid, changes.items(), strict=True):
        levels = [str(level) for level in range(1, len(change["change_rate"]) + 1)]
        left.bar(levels, change["change_rate"])
        left.set(title=f"{name}: code change rate", xlabel="level", ylim=(0, None))
        right.bar(list(change["patterns"]), list(change["patterns"].values()))
        right.set(title=f"{name}: items by changed levels", xlabel="levels", ylim=(0, 1))
    save_figure(figure, path)


def plot_collisions(analyses: dict[str, dict[str, Any]], path: str | Path) -> None:
    """Figure 3: collision rate over the tokenizer's own stage, and over joint training."""
    figure, [[left, right]] = subplots(1, 2)
    for axes, key, x in ((left, "pretraining", "progress"), (right, "joint_training", "epoch")):
        for name, analysis in analyses.items():
            points = [(point[x], point["collision_rate"]) for point in analysis[key]]
            axes.plot([place for place, _ in points], [rate for _, rate in points], label=name)
        axes.set(title=key.replace("_", " "), xlabel=x, ylabel="collision rate", ylim=(0, None))
        axes.legend()
    save_figure(figure, path)


def plot_report(report: Mapping[str, Any], path: str | Path) -> None:
    """The quality of semantic IDs: one panel per known figure of the levels."""
    levels = report["levels"]
    numbers = list(range(1, len(levels) + 1))
    panels = [(key, heading) for key, heading, _ in known_columns(report)[2:]]  # codes used: one
    rows = math.ceil((len(panels) + 1) / 3)
    figure, grid = subplots(rows, 3)
    usage, *others = grid.flatten()
    usage.bar(numbers, [level["codes"] for level in levels], color="lightgrey", label="codes")
    usage.bar(numbers, [level["used"] for level in levels], color="tab:blue", label="used")
    usage.set(title="Codes used", xlabel="level", xticks=numbers)
    usage.legend(loc="lower right")
    for axes, (key, heading) in zip(others, panels, strict=False):
        axes.bar(numbers, [level[key] or 0.0 for level in levels], color="tab:blue")
        axes.set(title=heading.capitalize(), xlabel="level", xticks=numbers)
        if key == "cosine":
            axes.axhline(report["random_cosine"], color="grey", linestyle="--", label="any two")
            axes.legend(loc="lower right")
    for axes in others[len(panels) :]:
        axes.set_axis_off()
    figure.suptitle(
        f"{report['num_items']:,} items, {report['distinct_ids']:,} distinct IDs "
        "before collision handling"
    )
    save_figure(figure, path)


def figure_class() -> type:
    """Matplotlib's Figure; raises an InputError where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("plotting needs matplotlib: pip install matplotlib") from error
    return Figure


def subplots(rows: int, columns: int):
    """A figure with `[rows, columns]` panels."""
    figure = figure_class()(figsize=(4 * columns, 3.5 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def save_figure(figure, path: str | Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
