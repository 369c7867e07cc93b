"""Writes the record of a run while it runs."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from recbole_genrec.evaluator.recording import collect_recommendations
from recbole_genrec.parallel.distributed import rank
from recbole_genrec.runs.environment import hardware, peak_memory, reset_peak_memory, versions
from recbole_genrec.runs.fingerprint import data_files, run_fingerprint
from recbole_genrec.runs.outcome import FitResult
from recbole_genrec.runs.record import (
    FORMAT,
    RECOMMENDATIONS,
    RESULT,
    new_folder,
    results_root,
    run_name,
    write_json,
)


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
