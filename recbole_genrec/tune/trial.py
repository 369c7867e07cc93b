"""One trial: an ordinary run up to its test, of which every validation is reported."""

from __future__ import annotations

import gc
import math
from pathlib import Path
from typing import Any

import optuna
from recbole.utils import init_seed

from recbole_genrec.config import Config
from recbole_genrec.errors import InputError
from recbole_genrec.quick_start import prepare_data
from recbole_genrec.registry import build_model
from recbole_genrec.runs.recorder import recorded_run
from recbole_genrec.trainer.registry import get_trainer


def run_trial(config: Config, trial: optuna.Trial) -> float:
    """Train with the settings of a trial; the test data are not looked at.

    Notes in the trial's user attributes `run` (folder of the record), `checkpoint` and `epoch`,
    that of the best validation.

    Returns:
        the best score in validation.

    Raises:
        optuna.TrialPruned: when the trial is given up; the record then ends at that epoch.
    """

    def report(epoch: int, score: float) -> None:
        trial.report(score, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned(f"given up after epoch {epoch}")

    with recorded_run(config) as run:
        trial.set_user_attr("run", str(run.folder))
        trainer, train_data, valid_data, _ = _prepare(config)
        run.record_preparation(trainer.model, train_data)
        pruned, best_score = None, math.nan
        try:
            best_score, _ = trainer.fit(
                train_data,
                valid_data,
                verbose=False,
                saved=True,
                show_progress=config["show_progress"],
                callback_fn=report,
            )
        except optuna.TrialPruned as error:
            pruned = error
        run.record_fit(trainer)
    trial.set_user_attr("epoch", run.result["best_epoch"])
    _remove(trainer.last_model_file)  # nobody goes on with a trial that is over
    if pruned is not None:
        _remove(trainer.saved_model_file)
        raise pruned
    if best_score is None or not math.isfinite(best_score):
        raise InputError("there is no score to choose by: the split has no validation data")
    trial.set_user_attr("checkpoint", str(trainer.saved_model_file))
    return float(best_score)


def _remove(file: str | None) -> None:
    if file is not None:
        Path(file).unlink(missing_ok=True)


def evaluate_checkpoint(config: Config, checkpoint: str) -> dict[str, float]:
    """The test metrics of a trained model."""
    trainer, _, _, test_data = _prepare(config)
    return trainer.evaluate(test_data, model_file=checkpoint, show_progress=config["show_progress"])


def _prepare(config: Config) -> tuple[Any, Any, Any, Any]:
    """A fresh trainer and the data for training, validation and test."""
    gc.collect()  # the model of the trial before: a web of references that holds device memory
    init_seed(config["seed"], config["reproducibility"])
    train_data, valid_data, test_data = prepare_data(config)
    init_seed(config["seed"], config["reproducibility"])
    model = build_model(config, train_data.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    return trainer, train_data, valid_data, test_data
