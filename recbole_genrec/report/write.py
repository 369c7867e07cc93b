"""Make a comparison public: on the terminal, and as JSON, Markdown, LaTeX, CSV and HTML."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from recbole_genrec.compare.runs import COMPARISON
from recbole_genrec.files import replacing
from recbole_genrec.report.conclusion import circumstances, conclusion
from recbole_genrec.report.page import html_report
from recbole_genrec.report.tables import (
    gains_table,
    render,
    results_table,
    seen_table,
    significance_tables,
    to_csv,
)
from recbole_genrec.runs.record import new_folder, write_json


def publish(comparison: Mapping[str, Any]) -> Path:
    """Print a comparison and write it into a new folder beside the first of its runs.

    Args:
        comparison: what `compare` has returned.

    Returns:
        the folder, see `write_report`.
    """
    folder = write_report(comparison, Path(comparison["models"][0]["folders"][0]).parent)
    form = "terminal" if sys.stdout.isatty() else "text"
    print(f"\n{report_text(comparison, form)}\nReport: {folder / 'report.html'}")
    return folder


def write_report(comparison: Mapping[str, Any], root: str | os.PathLike) -> Path:
    """Write all forms of a comparison into a new folder.

    Args:
        comparison: what `compare` has returned.
        root: where the folder `comparison-<dataset>-<time>` is made.

    Returns:
        the folder, with `comparison.json`, `report.html`, `tables.md`, `tables.tex` and
        `results.csv`.
    """
    texts = {
        "report.html": html_report(comparison),
        "tables.md": report_text(comparison, "markdown"),
        "tables.tex": report_text(comparison, "latex"),
        "results.csv": to_csv(results_table(comparison)),
    }
    now = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    folder = new_folder(root, f"comparison-{comparison['dataset']}-{now}")
    write_json(folder / COMPARISON, comparison)
    for name, text in texts.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return folder


def run_title(run: Mapping[str, Any]) -> str:
    """What to call a run that does not count; one whose record is damaged has a folder only."""
    return f"{run['model']}, seed {run['seed']}" if "model" in run else run["folder"]


def report_text(comparison: Mapping[str, Any], form: str) -> str:
    """The tables in a form of `tables.MARKS`, then conclusion, circumstances and notes."""
    tables = [results_table(comparison)]
    if len(comparison["models"]) > 1:
        tables += [gains_table(comparison), *significance_tables(comparison)]
    tables += [seen] if (seen := seen_table(comparison)) else []
    parts = [render(table, form) for table in tables]
    notes = [
        *comparison["notes"],
        *(f"{run_title(run)} does not count: {run['error']}" for run in comparison["failed"]),
    ]
    prefix = {"latex": "% ", "markdown": "- "}.get(form, "* ")
    lines = [conclusion(comparison), "; ".join(circumstances(comparison)), *notes]
    parts.append("\n".join(prefix + " ".join(line.split()) for line in lines))
    return "\n\n".join(parts) + "\n"
