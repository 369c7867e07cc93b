"""Semantic IDs on the page: the quality of their tokenizer and a picture of every codebook."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from recbole_genrec.report import charts
from recbole_genrec.report.tables import Cell, Table
from recbole_genrec.tokenizer.quality.format import format_figure, known_columns

MOST_CODES = 4096  # codes of a level that are drawn one by one


def codebooks(models: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Quality and usage of the codes of every set; models with the same IDs share an entry."""
    by_usage: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for model in models:
        for name, usage in (model["analysis"] or {}).get("items_per_code", {}).items():
            report = model["tokenizer_reports"].get(name, {})
            title = set_title(model["name"], name)
            by_usage.setdefault(json.dumps(usage), []).append((title, report))
    books = []
    for usage, sharing in by_usage.items():
        report = sharing[0][1]
        levels = []
        sizes = report.get("codebook_sizes", [])
        for number, counts in enumerate(json.loads(usage)):
            size = sizes[number] if number < len(sizes) else 0
            counts = counts + [0] * (size - len(counts))
            name = f"Level {number + 1}: {sum(c > 0 for c in counts)} of {len(counts)} codes used"
            drawn = len(counts) <= MOST_CODES
            levels.append((name, Markup(charts.grid_picture(counts, name)) if drawn else ""))
        names = ", ".join(title for title, _ in sharing)
        books.append({"title": names, "levels": levels, **_tokenizer_quality(report)})
    return books


def set_title(model: str, name: str) -> str:
    """What to call a set of semantic IDs of a model; the main one is that of the model.

    >>> set_title("EAGER", ""), set_title("EAGER", "behavior")
    ('EAGER', 'EAGER, behavior')
    """
    return f"{model}, {name}" if name else model


def _tokenizer_quality(report: Mapping[str, Any]) -> dict[str, Any]:
    if not report:
        return {"text": "", "verdict": [], "table": None}
    columns = known_columns(report)
    rows = [
        [
            Cell(str(number), number),
            *(Cell(format_figure(level[key], form), level[key]) for key, _, form in columns),
        ]
        for number, level in enumerate(report["levels"], 1)
    ]
    text = (
        f"{report['num_items']:,} items. Before collision handling {report['distinct_ids']:,} "
        f"distinct IDs, {report['collision_rate']:.1%} collisions, at most "
        f"{report['largest_bucket']:,} items with one ID."
    )
    if "tokenizer" in report:
        text = f"{report['tokenizer']['name']}, {text}"
    headings = ["Level", *(heading.capitalize() for _, heading, _ in columns)]
    return {"text": text, "verdict": report["verdict"], "table": Table("Levels", headings, rows)}
