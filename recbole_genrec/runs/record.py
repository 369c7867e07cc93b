"""The record of a run: settings, circumstances, learning curve and metrics, one folder per run.

`results/<model>-<dataset>-<seed>-<fingerprint>/` holds `result.json` and, after the test,
`recommendations.npz` (see `Recommendations`). A second run with the same settings gets a folder of
its own: nothing is overwritten. `result.json` is there from the start and says how the run stands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import chain, count
from logging import getLogger
from numbers import Real
from pathlib import Path
from typing import Any

from recbole_genrec import __version__
from recbole_genrec.errors import InputError, shortened
from recbole_genrec.evaluator.protocols import chosen_protocol
from recbole_genrec.evaluator.recommendations import Recommendations
from recbole_genrec.files import is_file_name, replacing
from recbole_genrec.plain import to_json
from recbole_genrec.runs.fingerprint import data_files, run_fingerprint

RESULT = "result.json"
RECOMMENDATIONS = "recommendations.npz"
FORMAT = 1

# What every record has, and what one with a test has besides; of which types.
ENTRIES = {
    **dict.fromkeys(("status", "model", "dataset", "fingerprint", "started"), str),
    **dict.fromkeys(("config", "versions", "hardware", "seconds"), dict),
    "seed": int,
}
TESTED = {
    **dict.fromkeys(("parameters", "epochs_trained", "steps", "peak_memory"), Real | None),
    **{"valid_metric": str, "learning_curve": list, "test_result": dict},
    **{"best_epoch": int | None, "tokenizer_reports": dict},
}


def load_result(folder: str | os.PathLike) -> dict[str, Any]:
    """Read the record of a run, with the place where it lies as `folder`.

    `test_results` holds the metrics by protocol; records of earlier versions have one of them.

    Raises:
        InputError: if there is none, or it is broken or of another version of this format.
    """
    path = Path(folder) / RESULT
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        found = result["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: expected the record of a run, found {error!r}") from error
    if found != FORMAT:
        raise InputError(f"{path}: expected format {FORMAT}, found {found}")
    if "tokenizer_report" in result:  # as 0.1 noted it, of a single set of semantic IDs
        report = result.pop("tokenizer_report")
        result["tokenizer_reports"] = {"": report} if report else {}
    _check_record(result, path)
    tested = {chosen_protocol(result["config"].get("repeatable")): result.get("test_result", {})}
    return {"test_results": tested, **result, "folder": str(folder)}


def _check_record(result: Mapping[str, Any], path: Path) -> None:
    """Refuse a record without what all that read it count on.

    Raises:
        InputError: naming the file and the entry.
    """
    tested = "test_result" in result
    results = result.get("test_results", {})
    if not isinstance(results, dict) or not all(isinstance(m, dict) for m in results.values()):
        raise InputError(f"{path}: expected test_results by protocol, found [{shortened(results)}]")
    for key, kind in (ENTRIES | TESTED if tested else ENTRIES).items():
        if key not in result or not isinstance(result[key], kind):
            raise InputError(f"{path}: expected {key}, found [{shortened(result.get(key))}]")
    if tested and not isinstance(result["seconds"].get("training"), Real):
        raise InputError(f"{path}: expected seconds of training, found [{result['seconds']}]")
    if tested and not isinstance(result["config"].get("metrics"), list):
        raise InputError(f"{path}: expected metrics in config, found none")
    if tested and not all(isinstance(epoch, dict) for epoch in result["learning_curve"]):
        raise InputError(f"{path}: expected learning_curve of epochs, found something else")
    if not isinstance(result.get("error"), dict | None):
        raise InputError(f"{path}: expected error, found [{shortened(result['error'])}]")
    for key in ("model", "dataset"):  # which become names of files
        if not is_file_name(result[key]):
            raise InputError(f"{path}: expected the name of a {key}, found {result[key]!r}")
    _check_metrics(result.get("test_result", {}), "test_result", path)
    for protocol, metrics in result.get("test_results", {}).items():
        _check_metrics(metrics, f"test_results [{protocol}]", path)


def _check_metrics(metrics: Mapping[str, Any], name: str, path: Path) -> None:
    for metric, value in metrics.items():
        if not isinstance(value, Real | None):
            raise InputError(f"{path}: expected {name} [{metric}], found {value!r}")


def load_finished(folder: str | os.PathLike) -> tuple[dict[str, Any], Recommendations | None]:
    """Record and recommendations of a finished run, None if it kept no lists.

    Raises:
        InputError: if the run does not count, saying how it stands, or as `load_result`.
    """
    result = load_result(folder)
    reason = why_unfinished(result)
    if reason is not None:
        raise InputError(
            f"{folder}: expected a run with its test, found one with status {result['status']}: "
            f"{reason}"
        )
    file = Path(folder) / RECOMMENDATIONS
    if not file.exists():
        return result, None
    lists = Recommendations.load(file)
    lists.protocol = lists.protocol or chosen_protocol(result["config"].get("repeatable"))
    return result, lists


def why_unfinished(result: Mapping[str, Any]) -> str | None:
    """Why a run does not count in comparisons; None if it does."""
    if result["status"] == "finished":
        return None if "test_result" in result else "not tested, as the trials of a search"
    return result["error"]["message"] if result["error"] else "still at work, or killed"


def runs_of(config) -> list[dict[str, Any]]:
    """Records of all runs so far with these settings, the latest first, whatever their status."""
    name, runs = run_name(config), []
    for path in results_root(config).glob(f"*-{run_fingerprint(config)}*/{RESULT}"):
        if path.parent.name.startswith(name):
            try:
                runs.append(load_result(path.parent))
            except InputError as error:  # it may be done again
                getLogger().warning(str(error))
    return sorted(runs, key=lambda result: result["started"], reverse=True)


def find_finished(config) -> Path | None:
    """Folder of the latest finished run with these settings, data and version of ours, if any."""
    finished = [run for run in _comparable_runs(config) if run["status"] == "finished"]
    return Path(finished[0]["folder"]) if finished else None


def was_interrupted(config) -> bool:
    """Whether the latest run with these settings, data and version of ours did not finish."""
    latest = _comparable_runs(config)[:1]
    return any(run["status"] != "finished" for run in latest)


def _comparable_runs(config) -> list[dict[str, Any]]:
    files = data_files(config)
    return [
        result
        for result in runs_of(config)
        if result["versions"]["recbole_genrec"] == __version__ and result.get("data_files") == files
    ]


def run_name(config) -> str:
    """What the folder of a run is called."""
    return f"{config['model']}-{config['dataset']}-{config['seed']}-{run_fingerprint(config)}"


def results_root(config) -> Path:
    """The folder under which the runs lie."""
    return Path(config["results_dir"] or "results")


def new_folder(root: str | os.PathLike, name: str) -> Path:
    """Make a folder of this name, or with a number behind it where there are such already."""
    candidates = chain([name], (f"{name}-{number}" for number in count(2)))
    while True:
        folder = Path(root) / next(candidates)
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write strict JSON (numbers that are not finite become null), whole or not at all."""
    text = json.dumps(to_json(content), indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
