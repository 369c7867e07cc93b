"""Quality reports as text for the terminal."""

from collections.abc import Mapping
from textwrap import indent
from typing import Any

from tabulate import tabulate

LEVEL_COLUMNS = (  # key of a level, heading, format
    ("codes", "codes", ",d"),
    ("used", "used", ",d"),
    ("entropy", "entropy", ".3f"),
    ("filtered", "items filtered", ".2%"),
    ("purity_gain", "purity gain", ".3f"),
    ("dispersion_drop", "fall of dispersion", ".4f"),
    ("cosine", "cosine within prefix", ".3f"),
)


def known_columns(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Those of LEVEL_COLUMNS that the report has: without embeddings there is no cosine."""
    return [column for column in LEVEL_COLUMNS if column[0] in report["levels"][0]]


def format_figure(value: float | None, form: str) -> str:
    """A figure in its format; a dash where there is none."""
    return "–" if value is None else format(value, form)


def format_report(report: dict) -> str:
    """The report of one tokenizer: totals, a table of its levels, the verdict."""
    lines = [
        f"Semantic IDs of {report['num_items']:,} items, codebook sizes {report['codebook_sizes']}",
        f"  before collision handling: {report['distinct_ids']:,} distinct IDs "
        f"(collision rate {report['collision_rate']:.2%}), "
        f"at most {report['largest_bucket']} items share one",
    ]
    if "tokenizer" in report:
        facts = dict(report["tokenizer"])
        name = facts.pop("name")
        lines.append(f"  {name}: " + ", ".join(f"{key} {_plain(v)}" for key, v in facts.items()))
    if "reconstruction_error" in report:
        error = report["reconstruction_error"]
        lines.append(f"  reconstruction error: {error:.4f} of the variance")
    columns = known_columns(report)
    rows = [
        [str(number), *(format_figure(level[key], form) for key, _, form in columns)]
        for number, level in enumerate(report["levels"], 1)
    ]
    lines.append(_table(["level", *(heading for _, heading, _ in columns)], rows))
    if "random_cosine" in report:
        lines.append(
            f"  cosine: of two items that share the prefix up to this level; "
            f"of any two {report['random_cosine']:.3f}"
        )
    lines += [f"Verdict: {report['verdict'][0]}", *(f"  {text}" for text in report["verdict"][1:])]
    return "\n".join(lines)


def format_comparison(reports: Mapping[str, dict]) -> str:
    """Reports of several tokenizers of the same items, one row each."""
    headings = [
        "",
        "levels",
        "distinct",
        "collisions",
        "largest",
        "usage",
        "error",
        "cosine 1, 2..",
    ]
    rows = []
    for name, report in reports.items():
        levels = report["levels"]
        usage = min(level["used"] / level["codes"] for level in levels)
        cosines = ", ".join(
            format_figure(level["cosine"], ".2f") for level in levels if "cosine" in level
        )
        rows.append(
            [
                name,
                str(len(levels)),
                f"{report['distinct_ids']:,}",
                f"{report['collision_rate']:.2%}",
                str(report["largest_bucket"]),
                f"{usage:.1%}",
                format_figure(report.get("reconstruction_error"), ".4f"),
                cosines,
            ]
        )
    return _table(headings, rows)


def _table(headings: list[str], rows: list[list[str]]) -> str:
    align = ["right"] * len(headings)
    text = tabulate(rows, headings, tablefmt="plain", colalign=align, disable_numparse=True)
    return indent(text, "  ")


def _plain(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
