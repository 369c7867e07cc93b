"""Quality reports as text for the terminal."""

from collections.abc import Mapping

COLUMNS = (  # key of a level, heading, format
    ("codes", "codes", "d"),
    ("used", "used", "d"),
    ("entropy", "entropy", ".3f"),
    ("filtered", "filtered", ".2%"),
    ("dispersion_drop", "dispersion drop", ".4f"),
    ("cosine", "cosine", ".3f"),
)


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
    columns = [column for column in COLUMNS if column[0] in report["levels"][0]]
    rows = [
        [str(number), *(_cell(level[key], form) for key, _, form in columns)]
        for number, level in enumerate(report["levels"], 1)
    ]
    lines += _table(["level", *(heading for _, heading, _ in columns)], rows)
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
        cosines = ", ".join(_cell(level["cosine"], ".2f") for level in levels if "cosine" in level)
        rows.append(
            [
                name,
                str(len(levels)),
                f"{report['distinct_ids']:,}",
                f"{report['collision_rate']:.2%}",
                str(report["largest_bucket"]),
                f"{usage:.1%}",
                _cell(report.get("reconstruction_error"), ".4f"),
                cosines,
            ]
        )
    return "\n".join(_table(headings, rows))


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    return [
        "  "
        + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [headings, *rows]
    ]


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _plain(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
