"""The record of a run: settings, circumstances, learning curve and metrics, one folder per run.

`results/<model>-<dataset>-<seed>-<fingerprint>/` holds `result.json` and, after the test,
`recommendations.npz` (see `Recommendations`). A second run with the same settings gets a folder of
its own: nothing is overwritten. `result.json` is there from the start and says how the run stands.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import chain, count
from logging import getLogger
from numbers import Real
from pathlib import Path
from typing import Any

from recbole_genrec import __version__
from recbole_genrec.errors import InputError, shortened
from recbole_genrec.evaluator.protocols import chosen_protocol
from recbole_genrec.evaluator.recommendations import Recommendations, collect_recommendations
from recbole_genrec.files import is_file_name, replacing
from recbole_genrec.parallel.distributed import rank
from recbole_genrec.plain import to_json
from recbole_genrec.runs.environment import hardware, peak_memory, reset_peak_memory, versions
from recbole_genrec.runs.fingerprint import data_files, run_fingerprint
from recbole_genrec.runs.outcome import FitResult

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


@contextmanager
def recorded_run(config) -> Iterator[RunRecorder]:
    """Record what happens inside, also when it fails.

    Args:
        config: of the run; its folder is made under `results_dir`. Of several processes only
            rank 0 writes.

    >>> with recorded_run(config) as run:  # doctest: +SKIP
    ...     train_data, valid_data, test_data = prepare_data(config)
    ...     run.record_preparation(model, train_data)
    ...     trainer.fit(train_data, valid_data)
    ...     run.record_fit(trainer)
    ...     test_result = trainer.evaluate(test_data)
    ...     run.record_test(trainer, train_data, test_data, test_result)
    """
    run = RunRecorder(config)
    try:
        yield run
    except BaseException as error:
        run.fail(error)
        raise
    run.finish()


class RunRecorder:
    """Writes `result.json` as a run proceeds.

    `seconds` are wall-clock times: `preparation` (data, tokenizer stage, model), `training` (with
    validation, and with that of earlier attempts which a checkpoint goes on from), `test` and
    `total`. `peak_memory` is in bytes, see `environment.peak_memory`.
    """

    def __init__(self, config) -> None:
        self._config = config
        self._started = self._lap_started = time.perf_counter()
        reset_peak_memory(config["device"])
        self.result: dict[str, Any] = {
            "format": FORMAT,
            "status": "running",
            "error": None,
            "model": config["model"],
            "dataset": config["dataset"],
            "seed": config["seed"],
            "fingerprint": run_fingerprint(config),
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "config": config.as_dict(),
            "versions": versions(),
            "hardware": hardware(config["device"]),
            "seconds": {},
        }
        self.folder = new_folder(results_root(config), run_name(config)) if rank() == 0 else None
        self._write()

    def record_preparation(self, model, train_data) -> None:
        """Note what will be trained; called right before `trainer.fit`."""
        items = getattr(train_data.dataset, "items", None)  # RecBole's own data sets have none
        self._lap("preparation")
        self.result |= {
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "tokenizer_reports": items.reports if items else {},
            "data_files": data_files(self._config),  # only now is a data set there for certain
        }
        self._write()

    def record_fit(self, trainer) -> None:
        """Note the `outcome` of a trainer; called right after `trainer.fit`."""
        outcome: FitResult = trainer.outcome()
        self._started -= outcome.earlier_seconds
        self._lap_started -= outcome.earlier_seconds
        self._lap("training")
        self.result |= {
            "epochs_trained": len(outcome.train_losses),
            "steps": outcome.steps,
            "best_epoch": outcome.best_epoch,
            "valid_metric": self._config["valid_metric"].lower(),
            "valid_result": outcome.best_result,
            "learning_curve": [
                {
                    "epoch": epoch,
                    "phase": outcome.phases[epoch],
                    "train_loss": loss,
                    "valid": outcome.valid_results.get(epoch),
                }
                for epoch, loss in outcome.train_losses.items()
            ],
            "objective_weights": [
                {"step": step, **shares} for step, shares in outcome.objective_weights.items()
            ],
        }
        self._write()

    def record_test(self, trainer, train_data, test_data, test_result: Mapping[str, float]) -> None:
        """Note the test and keep its lists; called right after `trainer.evaluate(test_data)`."""
        self._lap("test")
        self.result["test_result"] = dict(test_result or {})
        if test_result:
            self.result["test_results"] = trainer.results  # of both protocols
        if self.folder is not None and test_result:
            recommendations = collect_recommendations(trainer, train_data, test_data)
            if recommendations is not None:
                recommendations.save(self.folder / RECOMMENDATIONS)
        self._write()

    def finish(self) -> None:
        """Declare the run finished; from now on it counts in comparisons."""
        self._close("finished")

    def fail(self, error: BaseException) -> None:
        """Declare the run failed, and say by what."""
        self.result["error"] = {
            "type": type(error).__name__,
            "message": str(error) or type(error).__name__,
            "traceback": "".join(traceback.format_exception(error)),
        }
        self._close("failed")

    def _close(self, status: str) -> None:
        self.result["seconds"]["total"] = time.perf_counter() - self._started
        self.result |= {"status": status, "peak_memory": peak_memory(self._config["device"])}
        self._write()

    def _lap(self, name: str) -> None:
        now = time.perf_counter()
        self.result["seconds"][name] = now - self._lap_started
        self._lap_started = now

    def _write(self) -> None:
        if self.folder is not None:
            write_json(self.folder / RESULT, self.result)


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
