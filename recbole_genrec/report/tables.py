"""A comparison as tables: for the terminal, Markdown, LaTeX and CSV, all with the same cells."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

MARKS: dict[str, tuple[str, str]] = {  # form -> how the best and the second value are set
    "terminal": ("\x1b[1m{}\x1b[0m", "\x1b[4m{}\x1b[0m"),
    "text": ("**{}**", "_{}_"),
    "markdown": ("**{}**", "<u>{}</u>"),
    "latex": (r"\textbf{{{}}}", r"\underline{{{}}}"),
}
TABULATE_FORMAT = {"terminal": "simple", "text": "simple", "markdown": "github"}
LATEX_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "<": "$<$",
}


@dataclass
class Cell:
    """What stands in a table: text, the number behind it, and 1 for the best, 2 for the second."""

    text: str
    value: float | str | None = None
    place: int | None = None


@dataclass
class Table:
    """Rows of cells under `headings`, about what `title` says."""

    title: str
    headings: list[str]
    rows: list[list[Cell]]


def results_table(comparison: Mapping[str, Any]) -> Table:
    """One row per model: test metrics, then what they cost."""
    models, metrics = comparison["models"], comparison["metrics"]
    places = {metric["key"]: _places(models, metric) for metric in metrics}
    rows = []
    for number, model in enumerate(models):
        row = [Cell(model["name"], model["name"])]
        for metric in metrics:
            figure = model["test"][metric["key"]]
            row.append(Cell(spread_text(figure), figure["mean"], places[metric["key"]].get(number)))
        row += [
            Cell(str(len(model["seeds"])), len(model["seeds"])),
            Cell(count_text(model["parameters"]["mean"]), model["parameters"]["mean"]),
            Cell(f"{model['epochs']['mean']:.0f}", model["epochs"]["mean"]),
            Cell(minutes_text(model["minutes"]["mean"]), model["minutes"]["mean"]),
            Cell(f"{model['peak_memory'] / 2**30:.2f}", model["peak_memory"] / 2**30),
        ]
        rows.append(row)
    names = [metric["name"] for metric in metrics]
    costs = ["Seeds", "Parameters", "Epochs", "Minutes", "Peak GiB"]
    return Table(f"Test on {comparison['dataset']}", ["Model", *names, *costs], rows)


def significance_table(comparison: Mapping[str, Any], metric: str | None = None) -> Table:
    """Each model against the reference in one metric, by default that of the selection."""
    key = metric or comparison["selection_metric"]
    name = next(m["name"] for m in comparison["metrics"] if m["key"] == key)
    rows = []
    seeds = {model["name"]: len(model["seeds"]) for model in comparison["models"]}
    for test in comparison["tests"]:
        if test["metric"] == key:
            several = min(seeds[test["model"]], seeds[comparison["reference"]]) > 1
            seeds_p = test["seeds_holm"] if several else None  # that of one seed says nothing
            low, high = test["interval"] or (None, None)
            rows.append(
                [
                    Cell(test["model"], test["model"]),
                    Cell(percent_text(test["gain"]), test["gain"]),
                    Cell("–" if low is None else f"{low:+.4f} to {high:+.4f}", low),
                    Cell(p_text(test["permutation_holm"]), test["permutation_holm"]),
                    Cell(test["users_verdict"], test["users_verdict"]),
                    Cell(p_text(seeds_p), seeds_p),
                    Cell(test["seeds_verdict"], test["seeds_verdict"]),
                ]
            )
    headings = ["Model", "Gain", "Difference, 95 % interval", "p over users", "Over users"]
    headings += ["p over seeds", "Over seeds"]
    return Table(f"{name} against {comparison['reference']}", headings, rows)


def gains_table(comparison: Mapping[str, Any]) -> Table:
    """Relative gain of each model over the reference in every metric."""
    gains = {(test["model"], test["metric"]): test["gain"] for test in comparison["tests"]}
    metrics = comparison["metrics"]
    rows = [
        [
            Cell(model["name"], model["name"]),
            *(
                Cell(percent_text(gain), gain)
                for gain in (gains[model["name"], metric["key"]] for metric in metrics)
            ),
        ]
        for model in comparison["models"]
        if model["name"] != comparison["reference"]
    ]
    title = f"Relative gain over {comparison['reference']}"
    return Table(title, ["Model", *(metric["name"] for metric in metrics)], rows)


def render(table: Table, form: str) -> str:
    """The table in a form of MARKS, with title; best values are bold, second ones underlined."""
    escape = _escape_latex if form == "latex" else _escape_markdown if form == "markdown" else str
    rows = [[_marked(cell, form, escape) for cell in row] for row in table.rows]
    headings = [escape(heading) for heading in table.headings]
    align = ["left", *["right"] * (len(headings) - 1)]
    if form == "latex":
        lines = [
            f"% {' '.join(table.title.split())}",
            rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
            r"\toprule",
        ]
        body = [" & ".join(row) + r" \\" for row in rows]
        return "\n".join(
            [
                *lines,
                " & ".join(headings) + r" \\",
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
            ]
        )
    text = tabulate(
        rows,
        headings,
        tablefmt=TABULATE_FORMAT[form],
        colalign=align if rows else None,
        disable_numparse=True,
    )
    title = f"**{escape(table.title)}**" if form == "markdown" else table.title
    return f"{title}\n\n{text}"


def to_csv(table: Table) -> str:
    """The numbers behind the table, unrounded; `±` columns hold the mean."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(_no_formula, table.headings))
    writer.writerows([[_no_formula(cell.value) for cell in row] for row in table.rows])
    return file.getvalue()


def _no_formula(value: Any) -> Any:
    """Text that a spreadsheet would compute or run, behind an apostrophe, which keeps it text."""
    dangerous = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if dangerous else value


def _places(models: list[Mapping[str, Any]], metric: Mapping[str, Any]) -> dict[int, int]:
    """Index of a model -> 1 or 2, the place of its mean among the different ones as shown."""
    if len(models) < 2:
        return {}
    means = [round(model["test"][metric["key"]]["mean"], 4) for model in models]
    best = sorted(set(means), reverse=not metric["smaller_is_better"])[:2]
    return {n: best.index(mean) + 1 for n, mean in enumerate(means) if mean in best}


def _marked(cell: Cell, form: str, escape: Callable[[str], str]) -> str:
    text = escape(cell.text)
    return MARKS[form][cell.place - 1].format(text) if cell.place else text


def _escape_latex(text: str) -> str:
    text = " ".join(text.split())  # a line break would end a comment
    return re.sub("|".join(map(re.escape, LATEX_SPECIAL)), lambda m: LATEX_SPECIAL[m[0]], text)


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\|*_<])", r"\\\1", text)


def spread_text(figure: Mapping[str, Any]) -> str:
    """Mean, and the standard deviation where there are several seeds."""
    std = figure["std"]
    return f"{figure['mean']:.4f}" + ("" if std is None else f" ± {std:.4f}")


def count_text(number: float) -> str:
    """
    >>> count_text(950), count_text(13_270_000), count_text(1_500)
    ('950', '13.3M', '1.5k')
    """
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def minutes_text(minutes: float) -> str:
    return f"{minutes:.0f}" if minutes >= 100 else f"{minutes:.1f}"


def percent_text(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.1f} %"


def p_text(p: float | None) -> str:
    """
    >>> p_text(0.0001), p_text(0.042), p_text(None)
    ('< 0.001', '0.042', '–')
    """
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
