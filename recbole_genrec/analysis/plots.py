"""The analyses of checkpoints as pictures (needs matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recbole_genrec.errors import InputError
from recbole_genrec.files import replacing


def plot_codebooks(analyses: dict[str, dict[str, Any]], path: str | Path) -> None:
    """Figure 5: one row per set of semantic IDs, one panel per level."""
    books = {
        f"{model}, {name}" if name else model: levels
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
