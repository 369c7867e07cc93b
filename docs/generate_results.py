"""Write the tables of results in README and docs from docs/results/*.json.

    python docs/generate_results.py                                 all tables anew
    python docs/generate_results.py results/TIGER-... TIGER, tuned  first keep a run in this row
    python docs/generate_results.py --file=NAME --beside=results/SASRec-... results/TIGER-... TIGER

A table stands between `<!-- results: NAME -->` and `<!-- end of results -->` and shows the rows of
`docs/results/NAME.json`, by default that of the data set: means over the seeds of a row, with items
of the history in the ranking (unmasked) and without them (masked). `<!-- ablation: NAME -->` stands
before a table of one seed, whose rows say how far they are from the run `--beside` them, and
`<!-- cases: NAME -->` before one that says on which test cases the rows are good.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from recbole_genrec.compare.runs import align_lists, read_models
from recbole_genrec.config import Config
from recbole_genrec.evaluator.lists import analyze
from recbole_genrec.evaluator.protocols import MASKED, PROTOCOLS, chosen_protocol
from recbole_genrec.evaluator.recommendations import Recommendations
from recbole_genrec.evaluator.significance import mean_interval
from recbole_genrec.report.tables import count_text, minutes_text
from recbole_genrec.runs.fingerprint import ENVIRONMENT_KEYS, FILE_KEYS
from recbole_genrec.runs.record import load_finished, write_json

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TABLE = re.compile(
    r"(<!-- (results|ablation|cases): ([\w-]+) -->\n\n)(?:(?!<!--).)*(\n\n<!-- end of results -->)",
    re.DOTALL,
)
METRICS = {"recall@5": "R@5", "ndcg@5": "N@5", "recall@10": "R@10", "ndcg@10": "N@10"}
LAST = ("recall@10", "ndcg@10")


def compact(folder: Path, name: str) -> dict[str, Any]:
    """What is kept of a finished run, as a seed of the row `name`."""
    result, lists = load_finished(folder)
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
        "cases": None if lists is None else cases(lists),
    }


def cases(lists: Recommendations) -> dict[str, float | None] | None:
    """What seen items take of the unmasked top ten, and masked NDCG@10 on kinds of test cases.

    None where the lists lack a protocol, or the histories.
    """
    masked = lists.in_protocol(MASKED)
    found = masked and analyze(masked, [10])
    if not found or not found["seen_items"] or not found["by_transition"]:
        return None
    deciles, lengths = found["by_popularity"], found["history_length"]
    groups = {
        "transition seen in training": [found["by_transition"]["seen"]],
        "new transition": [found["by_transition"]["new"]],
        "rarer half of the items": deciles[:5],
        "most popular tenth": deciles[9:],
        "shortest histories": lengths[:1],
        "longest histories": lengths[-1:],
    }
    places = {"seen items in the top ten": found["seen_items"]["places"]}
    return places | {name: _mean_of_groups(own) for name, own in groups.items()}


def _mean_of_groups(groups: list[dict[str, Any]]) -> float | None:
    """NDCG@10 of all users of some groups; None where there are no users."""
    sums = [group["ndcg@10"] * group["users"] for group in groups if group["users"]]
    return sum(sums) / sum(group["users"] for group in groups) if sums else None


def keep(folder: Path, name: str, file: str | None = None, beside: Path | None = None) -> None:
    """Put a run into a file of results, in the place of the same row and seed."""
    run = compact(folder, name)
    if beside is not None:
        run["difference"] = difference(folder, beside)
    path = RESULTS / f"{file or run['dataset']}.json"
    runs = read_runs(path) if path.exists() else []
    same = [n for n, r in enumerate(runs) if (r["name"], r["seed"]) == (name, run["seed"])]
    place = same[0] if same else len(runs)
    write_json(path, [*runs[:place], run, *runs[place + 1 :]])


def difference(folder: Path, beside: Path) -> dict[str, Any]:
    """In masked NDCG@10 between two runs, with its interval of 95 % over the users."""
    models = [read_models([one])[0][0].in_protocol("masked") for one in (folder, beside)]
    align_lists(models)
    (own, lists), (other, _) = (model.by_user("ndcg@10") for model in models)
    mean = float((own - other).sum() / lists.sum())
    return {"mean": mean, "interval": list(map(float, mean_interval(own - other, lists)))}


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
    several = len({run["processor"] for run in runs}) > 1
    for name, own in rows.items():
        figures = [
            _cell(found, len(rows) > 1 and bool(found) and _shown(found) == top)
            for found, top in zip(values[name], best, strict=True)
        ]
        lines.append([name, *_costs(own, several), *figures])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ablation(runs: list[dict[str, Any]]) -> str:
    """The runs as a Markdown table with a row each; the best of a column of metrics is bold."""
    columns = {f"{protocol}<br>{METRICS[m]}": (protocol, m) for protocol in PROTOCOLS for m in LAST}
    found = {
        "validation<br>N@10": [run["valid_result"]["ndcg@10"] for run in runs],
        **{title: [run["test_results"][p][m] for run in runs] for title, (p, m) in columns.items()},
    }
    cells = {
        title: [_cell([value], round(value, 4) == round(max(values), 4)) for value in values]
        for title, values in found.items()
    }
    differences = [_difference(run) for run in runs]
    rows = {"": [run["name"] for run in runs], **cells, "difference, masked N@10": differences}
    lines = [list(rows), ["---"] * len(rows), *map(list, zip(*rows.values(), strict=True))]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table_of_cases(runs: list[dict[str, Any]]) -> str:
    """The kept `cases` of the runs as a Markdown table, means over the seeds of a row."""
    rows: dict[str, list[dict[str, float | None]]] = {}
    for run in runs:
        rows.setdefault(run["name"], []).append(run["cases"])
    places, *groups = runs[0]["cases"]
    lines = [["model", places, *groups], ["---"] * (len(groups) + 2)]
    for name, own in rows.items():
        share = f"{100 * np.mean([kept[places] for kept in own]):.1f} %"
        values = [[kept[group] for kept in own] for group in groups]
        lines.append([name, share, *("–" if None in v else _mean(v) for v in values)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _difference(run: dict[str, Any]) -> str:
    if "difference" not in run:
        return ""
    low, high = run["difference"]["interval"]
    texts = (f"{value:+.4f}".replace("0.", ".") for value in (run["difference"]["mean"], low, high))
    return "{} ({} to {})".format(*texts)


def _costs(runs: list[dict[str, Any]], several_processors: bool) -> list[str]:
    """Seeds, parameters, mean epochs, and the median of the minutes on each processor."""
    minutes: dict[str, list[float]] = {}
    for run in runs:
        minutes.setdefault(run["processor"].split()[-1], []).append(run["minutes"])
    texts = {name: minutes_text(float(np.median(found))) for name, found in minutes.items()}
    return [
        str(len(runs)),
        count_text(runs[0]["parameters"]),
        f"{np.mean([run['epochs_trained'] for run in runs]):.0f}",
        ", ".join(f"{text} {name}" if several_processors else text for name, text in texts.items()),
    ]


def _values(runs: list[dict[str, Any]], protocol: str, metric: str) -> list[float]:
    """The metric of all seeds; empty if one of them lacks the protocol."""
    found = [run["test_results"].get(protocol, {}).get(metric) for run in runs]
    return [] if None in found else found


def _shown(values: list[float]) -> float:
    return round(float(np.mean(values)), 4)


def _mean(values: list[float]) -> str:
    return f"{_shown(values):.4f}".removeprefix("0")


def _cell(values: list[float], is_best: bool) -> str:
    if not values:
        return "–"
    text = f"**{_mean(values)}**" if is_best else _mean(values)
    if len(values) == 1:
        return text
    return f"{text} ± {np.std(values, ddof=1):.4f}".replace("± 0.", "± .")


def with_tables(text: str) -> str:
    """A page with its tables as the files of results have them."""
    kinds = {"results": table, "ablation": ablation, "cases": table_of_cases}

    def anew(found: re.Match[str]) -> str:
        start, kind, name, end = found.groups()
        return start + kinds[kind](read_runs(RESULTS / f"{name}.json")) + end

    return TABLE.sub(anew, text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("row", nargs="*")
    parser.add_argument("--file")
    parser.add_argument("--beside", type=Path)
    given = parser.parse_args()
    if given.run:
        keep(given.run, " ".join(given.row), given.file, given.beside)
    for page in PAGES:
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
