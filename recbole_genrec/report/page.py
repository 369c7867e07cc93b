"""A comparison as one HTML file that needs no network: tables, charts, examples, and its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from recbole_genrec import __version__
from recbole_genrec.report import charts
from recbole_genrec.report.charts import Style
from recbole_genrec.report.codebooks import codebooks
from recbole_genrec.report.conclusion import circumstances, conclusion
from recbole_genrec.report.sections import learning_curves, what_recommended, where_good
from recbole_genrec.report.tables import (
    Cell,
    Table,
    gains_table,
    results_table,
    significance_tables,
)

HERE = Path(__file__).parent


def html_report(comparison: Mapping[str, Any]) -> str:
    """The page that shows what `compare` has returned."""
    models = comparison["models"]
    styles = {model["name"]: Style.of(number) for number, model in enumerate(models)}
    sections = [
        learning_curves(comparison, styles),
        where_good(comparison, styles),
        what_recommended(comparison, styles),
    ]
    sections = [section for section in sections if section.figures or section.tables]
    books = codebooks(models)
    contents = [("results", "Results"), *((section.id, section.title) for section in sections)]
    contents += [("codebooks", "Semantic IDs")] if books else []
    contents += [("examples", "Examples")] if comparison["examples"] else []
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    selection = comparison["selection_metric"]
    return environment.get_template("page.html").render(
        title=f"Comparison on {comparison['dataset']}",
        facts=circumstances(comparison),
        conclusion=conclusion(comparison),
        contents=[*contents, ("runs", "Runs")],
        comparison=comparison,
        results=results_table(comparison),
        gains=gains_table(comparison),
        tests=significance_tables(comparison),
        other_tests=[
            table
            for metric in comparison["metrics"]
            if metric["key"] != selection
            for table in significance_tables(comparison, metric["key"])
        ],
        figure_sections=sections,
        codebooks=books,
        runs=_runs_table(models),
        settings=yaml.safe_dump(comparison["settings"], sort_keys=False),
        marks=_Marks({name: Markup(charts.legend_mark(style)) for name, style in styles.items()}),
        version=__version__,
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
        # "</script>" inside a title must not end the element
        json=Markup(json.dumps(comparison, ensure_ascii=False).replace("<", "\\u003c")),
    )


class _Marks(dict):
    """Legend marks by model name; nothing for other names."""

    def __missing__(self, name: str) -> str:
        return ""


def _runs_table(models: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for model in models:
        figures = zip(
            model["seeds"],
            model["folders"],
            model["minutes"]["values"],
            model["epochs"]["values"],
            model["steps"]["values"],
            strict=True,
        )
        for seed, folder, minutes, epochs, steps in figures:
            rows.append(
                [
                    Cell(model["name"], model["name"]),
                    Cell(str(seed), seed),
                    Cell(f"{epochs:.0f}", epochs),
                    Cell(f"{steps:,.0f}", steps),
                    Cell(f"{minutes:.1f}", minutes),
                    Cell(model["device"], model["device"]),
                    Cell(folder, folder),
                ]
            )
    return Table(
        "Finished runs", ["Model", "Seed", "Epochs", "Steps", "Minutes", "Hardware", "Folder"], rows
    )
