"""Workers of a search that behave badly, for processes that no fixture can reach."""

import os
import time
from pathlib import Path

from recbole_genrec.tune import command, study


def meet_and_die(sweep, model, number: int, workers: int) -> None:
    """Begin a trial in every worker before any goes on; the worker with the first point dies."""
    run_trial = study.run_trial

    def run(config, trial) -> float:
        (sweep.folder / f"begun-{number}").touch()
        _wait_for(sweep.folder, workers)
        if trial.user_attrs["point"] == 0:
            os._exit(9)
        return run_trial(config, trial)

    study.run_trial = run
    command._work_alone(sweep, model, number, workers)


def _wait_for(folder: Path, workers: int) -> None:
    end = time.monotonic() + 120
    while len(list(folder.glob("begun-*"))) < workers:
        if time.monotonic() > end:
            raise TimeoutError("the other worker has begun no trial")
        time.sleep(0.05)
