"""Write the tables of results in README and docs from docs/results/*.json.

    python docs/generate_results.py                                 all tables anew
    python docs/generate_results.py results/TIGER-... TIGER, tuned  first keep a run in this row

A table stands between `<!-- results: NAME -->` and `<!-- end of results -->` and shows the rows of
`docs/results/NAME.json`: means over the seeds of a row, with items of the history in the ranking
(unmasked) and without them (masked).
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from recbole_genrec.config import Config
from recbole_genrec.evaluator.protocols import PROTOCOLS, chosen_protocol
from recbole_genrec.report.tables import count_text, minutes_text
from recbole_genrec.runs.fingerprint import ENVIRONMENT_KEYS, FILE_KEYS
from recbole_genrec.runs.record import load_finished, write_json

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TABLE = re.compile(
    r"(<!-- results: ([\w-]+) -->\n\n)(?:(?!<!--).)*(\n\n<!-- end of results -->)", re.DOTALL
)
METRICS = {"recall@5": "R@5", "ndcg@5": "N@5", "recall@10": "R@10", "ndcg@10": "N@10"}


def compact(folder: Path, name: str) -> dict[str, Any]:
    """What is kept of a finished run, as a seed of the row `name`."""
    result, _ = load_finished(folder)
    config = result["config"]
    defaults = Config(result["model"], result["dataset"]).as_dict()
    unlike = {
        key: Path(value).name if isinstance(value, str) and key.endswith(FILE_KEYS) else value
        for key, value in config.items()
        if value != defaults.get(key) and key not in {*ENVIRONMENT_KEYS, "seed"}
    }
    return {
        "name": name,
        **{key: result[key] for key in ("model", "dataset", "seed", "epochs_trained")},
        **{key: result[key] for key in ("best_epoch", "parameters")},
        "minutes": round(result["seconds"]["training"] / 60, 1),
        "processor": result["hardware"].get("gpu") or result["hardware"]["processor"],
        "threads": result["hardware"]["threads"],
        "chosen_by": f"{chosen_protocol(config.get('repeatable'))} {result['valid_metric']}",
        "settings": unlike,
        "valid_result": result["valid_result"],
        "test_results": result["test_results"],
    }


def keep(folder: Path, name: str) -> None:
    """Put a run into the file of its data set, in the place of the same row and seed."""
    run = compact(folder, name)
    file = RESULTS / f"{run['dataset']}.json"
    runs = read_runs(file) if file.exists() else []
    same = [n for n, r in enumerate(runs) if (r["name"], r["seed"]) == (name, run["seed"])]
    place = same[0] if same else len(runs)
    write_json(file, [*runs[:place], run, *runs[place + 1 :]])


def read_runs(file: Path) -> list[dict[str, Any]]:
    """The runs in a file of results."""
    return json.loads(file.read_text(encoding="utf-8"))


def table(runs: list[dict[str, Any]]) -> str:
    """The runs as a Markdown table with a row per name; the best mean of a column is bold."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        rows.setdefault(run["name"], []).append(run)
    columns = [(protocol, metric) for protocol in PROTOCOLS for metric in METRICS]
    values = {name: [_values(own, *column) for column in columns] for name, own in rows.items()}
    best = [
        max((_shown(own[n]) for own in values.values() if own[n]), default=None)
        for n in range(len(columns))
    ]
    headings = ["model", "seeds", "parameters", "epochs", "minutes"]
    headings += [f"{protocol}<br>{METRICS[metric]}" for protocol, metric in columns]
    lines = [headings, ["---"] * len(headings)]
    for name, own in rows.items():
        figures = [
            _cell(found, len(rows) > 1 and bool(found) and _shown(found) == top)
            for found, top in zip(values[name], best, strict=True)
        ]
        lines.append([name, *_costs(own), *figures])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _costs(runs: list[dict[str, Any]]) -> list[str]:
    epochs, minutes = (np.mean([run[key] for run in runs]) for key in ("epochs_trained", "minutes"))
    return [
        str(len(runs)),
        count_text(runs[0]["parameters"]),
        f"{epochs:.0f}",
        minutes_text(float(minutes)),
    ]


def _values(runs: list[dict[str, Any]], protocol: str, metric: str) -> list[float]:
    """The metric of all seeds; empty if one of them lacks the protocol."""
    found = [run["test_results"].get(protocol, {}).get(metric) for run in runs]
    return [] if None in found else found


def _shown(values: list[float]) -> float:
    return round(float(np.mean(values)), 4)


def _cell(values: list[float], is_best: bool) -> str:
    if not values:
        return "–"
    mean = f"{_shown(values):.4f}".removeprefix("0")
    text = f"**{mean}**" if is_best else mean
    if len(values) == 1:
        return text
    return f"{text} ± {np.std(values, ddof=1):.4f}".replace("± 0.", "± .")


def with_tables(text: str) -> str:
    """A page with its tables as the files of results have them."""
    return TABLE.sub(
        lambda found: found[1] + table(read_runs(RESULTS / f"{found[2]}.json")) + found[3], text
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        keep(Path(sys.argv[1]), " ".join(sys.argv[2:]))
    for page in PAGES:
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
