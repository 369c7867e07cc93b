"""Whole runs in processes of their own that are killed, for the tests of resuming."""

import json
import logging
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

from recbole_genrec import quick_start
from recbole_genrec.runs.checkpoint import load_checkpoint
from recbole_genrec.trainer import GenRecTrainer
from tests.conftest import REPOSITORY
from tests.resume_cases import SETTINGS
from tests.small import NAME

# The server imports once; each process is then a fork of it, without the threads of the tests.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__, "torch._dynamo", "transformers.optimization"])


def run_in_process(model: str, folder: Path, kill_after: float | None = None) -> dict | None:
    """Run `model` on the data set in `folder`, or what an earlier process has left of the run.

    Args:
        kill_after: CPU seconds between the preparation of the data and a SIGKILL.

    Returns:
        the result with weights and the CPU seconds after preparation; None if killed.
    """
    process = PROCESSES.Process(target=_run, args=(model, folder, kill_after))
    with patch.dict(os.environ, PYTHONPATH=str(REPOSITORY), OMP_NUM_THREADS="1"):
        process.start()  # and with the first of them the server
    process.join()
    if process.exitcode == -signal.SIGKILL:
        return None
    assert process.exitcode == 0
    result = json.loads((folder / "result.json").read_text())
    best = load_checkpoint(result["checkpoint"])
    last = load_checkpoint(Path(result["checkpoint"]).with_suffix("").as_posix() + "-last.pth")
    return {**result, "best": best, "last": last}


def _run(model: str, folder: Path, kill_after: float | None) -> None:
    os.chdir(folder)
    logging.disable()
    quick_start.get_environment = Mock()  # measures the load for a second
    trainers, started = [], []
    resume = GenRecTrainer.resume

    def noted(trainer: GenRecTrainer, where: str) -> None:
        if not started and kill_after is not None:
            signal.signal(signal.SIGPROF, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            signal.setitimer(signal.ITIMER_PROF, kill_after)
        trainers.append(trainer)
        started.append(time.process_time())
        resume(trainer, where)

    GenRecTrainer.resume = noted
    result: dict[str, Any] = quick_start.run_recbole_genrec(
        model, NAME, config_dict=settings(model)
    )
    result["seconds"] = time.process_time() - started[0]
    result["checkpoint"] = os.path.abspath(trainers[-1].saved_model_file)
    Path("result.json").write_text(json.dumps(result))


def settings(model: str) -> dict[str, Any]:
    return {
        "epochs": 3,
        "topk": [3, 5],
        "valid_metric": "NDCG@5",
        "MAX_ITEM_LIST_LENGTH": 6,
        "data_path": ".",
        "show_progress": False,
        "use_gpu": False,
        "checkpoint_step": 2,
        "resume": "auto",
        **SETTINGS[model],
    }
