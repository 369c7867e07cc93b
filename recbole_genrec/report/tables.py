"""A comparison as tables: for the terminal, Markdown, LaTeX and CSV, all with the same cells."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    """Rows of cells under `headings`, about what `title` says.

    `groups` names stretches of columns and says how long they are; no name stands over the others.
    """

    title: str
    headings: list[str]
    rows: list[list[Cell]]
    groups: list[tuple[str, int]] = field(default_factory=list)

    def full_headings(self, form: str = "{heading} {group}") -> list[str]:
        """The headings, those of a named group with its name as `form` says."""
        names = [name for name, length in self.groups for _ in range(length)]
        return [
            form.format(heading=heading, group=name) if name else heading
            for heading, name in zip(self.headings, names or [""] * len(self.headings), strict=True)
        ]


def _by_protocol(comparison: Mapping[str, Any]) -> list[tuple[str, dict[str, Any], list]]:
    """(protocol, name of a model -> its figures, tests) of each protocol, the heading one first."""
    models = {model["name"]: model for model in comparison["models"]}
    found: list[tuple[str, dict[str, Any], list]]
    found = [(comparison["protocol"], models, comparison.get("tests", []))]
    other = comparison["other"]
    return found + [(other["protocol"], other["models"], other["tests"])] if other else found


def results_table(comparison: Mapping[str, Any]) -> Table:
    """One row per model: test metrics in each protocol, then what they cost."""
    models, metrics = comparison["models"], comparison["metrics"]
    rows = [[Cell(model["name"], model["name"])] for model in models]
    groups = [("", 1)]
    for protocol, figures, _ in _by_protocol(comparison):
        groups.append((protocol, len(metrics)))
        tests = [figures.get(model["name"], {}).get("test") for model in models]
        for metric in metrics:
            own = [test and test[metric["key"]] for test in tests]
            places = _places(own, metric["smaller_is_better"])
            for row, figure, place in zip(rows, own, places, strict=True):
                known = Cell(spread_text(figure), figure["mean"], place) if figure else Cell("–")
                row.append(known)
    for row, model in zip(rows, models, strict=True):
        row += [
            Cell(str(len(model["seeds"])), len(model["seeds"])),
            Cell(count_text(model["parameters"]["mean"]), model["parameters"]["mean"]),
            Cell(f"{model['epochs']['mean']:.0f}", model["epochs"]["mean"]),
            Cell(minutes_text(model["minutes"]["mean"]), model["minutes"]["mean"]),
            Cell(f"{model['peak_memory'] / 2**30:.2f}", model["peak_memory"] / 2**30),
        ]
    names = [metric["name"] for metric in metrics] * (len(groups) - 1)
    costs = ["Seeds", "Parameters", "Epochs", "Minutes", "Peak GiB"]
    headings = ["Model", *names, *costs]
    return Table(f"Test on {comparison['dataset']}", headings, rows, [*groups, ("", len(costs))])


def significance_table(
    comparison: Mapping[str, Any], metric: str | None = None, protocol: str | None = None
) -> Table:
    """Each model against the reference in one metric, by default that of the selection.

    Args:
        protocol: by default the heading one.
    """
    key, protocol = metric or comparison["selection_metric"], protocol or comparison["protocol"]
    tests = next(tests for each, _, tests in _by_protocol(comparison) if each == protocol)
    name = next(m["name"] for m in comparison["metrics"] if m["key"] == key)
    rows = []
    seeds = {model["name"]: len(model["seeds"]) for model in comparison["models"]}
    for test in tests:
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
    return Table(f"{name}, {protocol}, against {comparison['reference']}", headings, rows)


def significance_tables(comparison: Mapping[str, Any], metric: str | None = None) -> list[Table]:
    """`significance_table` in each protocol."""
    protocols = [protocol for protocol, _, tests in _by_protocol(comparison) if tests]
    return [significance_table(comparison, metric, protocol) for protocol in protocols]


def gains_table(comparison: Mapping[str, Any]) -> Table:
    """Relative gain of each model over the reference in every metric, in each protocol."""
    metrics, reference = comparison["metrics"], comparison["reference"]
    names = [model["name"] for model in comparison["models"] if model["name"] != reference]
    rows = [[Cell(name, name)] for name in names]
    groups = [("", 1)]
    for protocol, _, tests in _by_protocol(comparison):
        gains = {(test["model"], test["metric"]): test["gain"] for test in tests}
        groups.append((protocol, len(metrics)))
        for row, name in zip(rows, names, strict=True):
            own = [gains.get((name, metric["key"])) for metric in metrics]
            row += [Cell(percent_text(gain), gain) for gain in own]
    headings = [metric["name"] for metric in metrics] * (len(groups) - 1)
    return Table(f"Relative gain over {reference}", ["Model", *headings], rows, groups)


def seen_table(comparison: Mapping[str, Any]) -> Table | None:
    """What items of the history take of the unmasked lists; None where no run knows it."""
    rows = []
    for model in comparison["models"]:
        seen = (model["analysis"] or {}).get("seen_items")
        if seen:
            shares = [seen[key] for key in ("places", "first", "targets")]
            cells = [Cell(f"{share:.1%}", share) for share in shares]
            rows.append([Cell(model["name"], model["name"]), *cells])
    if not rows:
        return None
    ends = [key.partition("@")[2] for key in (metric["key"] for metric in comparison["metrics"])]
    k = max(map(int, filter(None, ends)))
    headings = ["Model", f"Top {k} places", "First places", "Targets"]
    return Table("Share of items seen before, unmasked", headings, rows)


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
            *_latex_groups(table),
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
    above = "{heading} {group}" if form == "markdown" else "{group}\n{heading}"
    text = tabulate(
        rows,
        [escape(heading) for heading in table.full_headings(above)],
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
    writer.writerow(map(_no_formula, table.full_headings()))
    writer.writerows([[_no_formula(cell.value) for cell in row] for row in table.rows])
    return file.getvalue()


def _no_formula(value: Any) -> Any:
    """Text that a spreadsheet would compute or run, behind an apostrophe, which keeps it text."""
    dangerous = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if dangerous else value


def _latex_groups(table: Table) -> list[str]:
    """The row of the names of groups, with a rule below each."""
    if not any(name for name, _ in table.groups):
        return []
    cells, rules, column = [], [], 1
    for name, length in table.groups:
        cells.append(rf"\multicolumn{{{length}}}{{c}}{{{_escape_latex(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{column}-{column + length - 1}}}")
        column += length
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _places(figures: list[Mapping[str, Any] | None], smaller_is_better: bool) -> list[int | None]:
    """1 or 2 for each model, the place of its mean among the different ones as shown."""
    means = [None if figure is None else round(figure["mean"], 4) for figure in figures]
    known = {mean for mean in means if mean is not None}
    if sum(mean is not None for mean in means) < 2:
        return [None] * len(means)
    best = sorted(known, reverse=not smaller_is_better)[:2]
    return [best.index(mean) + 1 if mean in best else None for mean in means]


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
