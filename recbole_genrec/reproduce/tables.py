"""Tables of finished runs beyond that of the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_genrec.report.tables import Cell, Table
from recbole_genrec.reproduce.results import Results

SHOWN = 3  # items of each list


def relaxed_hits(results: Results) -> None:
    """Table 6: NDCG@5 where an item counts that shares the first k tokens with the target."""
    prefixes = {
        name: model["analysis"]["prefix"][""]
        for name, model in results.models.items()
        if model["analysis"] and model["analysis"]["prefix"]
    }
    first = next(iter(prefixes.values()))
    lengths = sorted(first, key=int, reverse=True)  # all tokens first
    metric = next(key for key in first[lengths[0]] if key.startswith("ndcg@"))
    rows = [
        [
            Cell(name, name),
            *(Cell(f"{prefix[k][metric]:.4f}", prefix[k][metric]) for k in lengths),
        ]
        for name, prefix in prefixes.items()
    ]
    headings = ["Model", *(f"Top-{k}" for k in lengths)]
    results.show(Table(f"{metric.upper()} of the first tokens", headings, rows))


def side_by_side(results: Results) -> None:
    """Table 7: target and first items of each list, for test cases that nobody chose."""
    names = list(results.models)
    rows = []
    for example in results.comparison["examples"]:
        lists = [example["lists"][name][:SHOWN] for name in names]
        numbered = (
            "; ".join(f"({n}) {_title(item)}" for n, item in enumerate(items, 1)) for items in lists
        )
        texts = [example["hit_by"], _title(example["target"]), *numbered]
        rows.append([Cell(text, text) for text in texts])
    headings = ["Hit by", "Ground truth", *(f"{name} (top {SHOWN})" for name in names)]
    results.show(Table("Recommendations side by side", headings, rows))


def _title(item: Mapping[str, Any]) -> str:
    return item["title"] or item["item"]
