"""Whole runs on several processes, for the tests: what each rank does, and how it is started."""

import logging
import os
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import torch

from recbole_genrec import quick_start
from recbole_genrec.errors import InputError
from recbole_genrec.parallel import launch
from recbole_genrec.parallel.distributed import (
    NO_SHARE,
    check_alike,
    gather,
    joined,
    rank,
    rank_0_first,
    world_size,
)
from recbole_genrec.registry import get_model
from recbole_genrec.trainer import GenRecTrainer, TrainerCallback, get_trainer
from tests.conftest import REPOSITORY
from tests.killed_runs import PROCESSES
from tests.resume_cases import SETTINGS
from tests.small import NAME

METRICS = ["Recall", "NDCG", "MRR", "ItemCoverage", "GiniIndex", "AveragePopularity"]
METRICS += ["ShannonEntropy", "TailPercentage"]
EXACT = {"dropout_rate": 0.0, "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0}


def on_ranks(nproc: int, function, *arguments) -> Any:
    """Call a function on so many ranks as `nproc` does, without importing everything anew."""
    config = {"nproc": nproc, "world_size": None, "offset": 0, "ip": "localhost", "port": None}
    environment = patch.dict(os.environ, PYTHONPATH=str(REPOSITORY), OMP_NUM_THREADS="1")
    with patch.object(launch, "PROCESSES", PROCESSES), environment:
        return launch.run_on_processes(config, function, *arguments)


def run(folder: Path, model: str, settings: dict[str, Any], ending: tuple | None = None) -> dict:
    """A run of `model` on the data in `folder`.

    Args:
        ending: a signal, the process that the last rank sends it to (None for itself) and the
            optimizer step before which it does.

    Returns:
        the result, the losses, the warnings, the checkpoints and the number of empty shares.
    """
    os.chdir(folder)
    warnings = _collected_warnings()
    quick_start.get_environment = Mock()  # measures the load for a second
    empty, fit = [], GenRecTrainer.fit
    outcome: dict[str, Any] = {}

    class Watching(TrainerCallback):
        def on_step_start(self, trainer: GenRecTrainer, batches) -> None:
            empty.append(any(NO_SHARE in batch for batch in batches))
            if ending and ending[2] == trainer.step and rank() == world_size() - 1:
                os.kill(ending[1] or os.getpid(), ending[0])

    def noted_fit(trainer: GenRecTrainer, *data, **options):
        result = fit(trainer, *data, **options)
        check_alike(trainer.model)
        outcome["warnings"] = warnings
        outcome["losses"] = list(trainer.train_loss_dict.values())
        outcome["empty shares"] = sum(map(sum, gather(empty)))
        outcome["best"] = os.path.abspath(trainer.saved_model_file)
        outcome["last"] = os.path.abspath(trainer.last_model_file)
        return result

    GenRecTrainer.callbacks, GenRecTrainer.fit = [Watching()], noted_fit
    result = quick_start.run_recbole_genrec(model, NAME, config_dict=case(model, **settings))
    return {**result, **outcome}


def _collected_warnings() -> list[str]:
    """The messages from now on; the log itself is not written."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    return messages


def case(model: str, **settings: Any) -> dict[str, Any]:
    """Settings of a tiny run in the folder of its data."""
    common = {
        "epochs": 2,
        "topk": [3, 5],
        "metrics": METRICS,
        "valid_metric": "NDCG@5",
        "metric_decimal_place": 12,
        "MAX_ITEM_LIST_LENGTH": 6,
        "data_path": ".",
        "show_progress": False,
        "use_gpu": False,
        "loss_type": "CE",
    }
    return {**common, **SETTINGS[model], **settings}


def evaluate(folder: Path, model: str, settings: dict[str, Any], checkpoint: str) -> tuple:
    """Metrics and lists of a trained model by protocol; how many batches each rank computed."""
    os.chdir(folder)
    logging.disable()
    config = quick_start.Config(model, NAME, config_dict=case(model, **settings))
    with joined(config["device"]):
        with rank_0_first():
            train_data, _, test_data = quick_start.prepare_data(config)
        model = get_model(model)(config, train_data.dataset)
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
        trainer.eval_collector.data_collect(train_data)
        counts, recommended = [], trainer.eval_collector._recommended
        trainer.eval_collector._recommended = lambda ranked: counts.append(1) or recommended(ranked)
        trainer.evaluate(test_data, model_file=checkpoint)
        results = gather(trainer.results)
        assert all(other == results[0] for other in results)
        lists = {protocol: own.tolist() for protocol, own in trainer.lists.items()}
        return results[0], lists, gather(len(counts))


def fail(folder: Path, kind: str) -> None:
    """Rank 1 fails in one way or another while rank 0 waits for it."""
    with joined(torch.device("cpu")):
        if kind == "other model":
            torch.manual_seed(rank())
            check_alike(torch.nn.Linear(1, 1))
        if rank() == 1:
            if kind == "input":
                raise InputError("a setting that rank 1 does not like")
            raise ZeroDivisionError("a fault of rank 1")
        gather("what never comes")


def write_process_id(folder: Path) -> None:
    """Leave a file named after this process, and stay."""
    (folder / f"{os.getpid()}.pid").touch()
    time.sleep(60)
