"""A trainer that keeps on disk all that training needs to go on, and reads it again."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from recbole.trainer import Trainer
from recbole.utils import calculate_valid_score, set_color
from torch.optim import Optimizer

from recbole_genrec.errors import InputError
from recbole_genrec.files import remove_unfinished
from recbole_genrec.parallel.distributed import gather, rank
from recbole_genrec.plain import moved
from recbole_genrec.runs.checkpoint import (
    check_same_run,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from recbole_genrec.runs.fingerprint import changed_settings, data_files, run_fingerprint
from recbole_genrec.trainer.faults import check_weights
from recbole_genrec.trainer.random_states import random_states

AUTO = "auto"
LAST = "-last"  # by which the name of the last checkpoint differs from that of the best one


class CheckpointingTrainer(Trainer):
    """Saves and loads weights, optimisers, schedule, results so far and the place in the epoch.

    The best checkpoint is `<name>.pth`, the last one `<name>-last.pth`; both hold the same. Several
    processes leave one checkpoint, from which any number of them goes on.
    """

    def __init__(self, config, model):
        super().__init__(config, model)
        self.saved_model_file = str(
            Path(self.checkpoint_dir)
            / f"{config['model']}-{config['dataset']}-{run_fingerprint(config)}.pth"
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=bool(config["enable_scaler"]))
        self.data_files = data_files(config)
        self.lr_scheduler = None
        self.step = 0  # optimiser steps so far
        self.valid_results: dict[int, dict[str, float]] = {}  # of each validated epoch
        self.earlier_seconds = 0.0  # that attempts before this one have trained
        self._started = perf_counter()
        self._lr_scheduler_state: dict | None = None  # of a checkpoint, for when it is set up
        self._position: dict[str, Any] | None = None  # of a checkpoint, for the next epoch

    @property
    def last_model_file(self) -> str:
        """Where the last checkpoint lies, beside the best one."""
        best = Path(self.saved_model_file)
        return str(best.with_name(f"{best.stem}{LAST}{best.suffix}"))

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose validation selects the model: the latest of those with the best score."""
        best = None
        for epoch, result in sorted(self.valid_results.items()):
            score = calculate_valid_score(result, self.valid_metric)
            if score == self.best_valid_score:
                best = epoch
        return best

    # ---- saving

    def _save_checkpoint(self, epoch, verbose=True, saved_model_file=None, random=None) -> None:
        """Save everything, on rank 0.

        Args:
            epoch: the last that is finished, with its validation.
            random: the random states of all ranks; all meet to gather them if not given.
        """
        if epoch < 0 and self.start_epoch > 0:  # resumed at the end: what is there stays
            return
        random = random or gather(random_states(self.device))
        if rank() != 0:
            return
        file = saved_model_file or self.saved_model_file
        check_weights(self.model)
        save_checkpoint({**self._progress(epoch, random), **self._states()}, file)
        if verbose:
            self.logger.info(set_color("Saving current", "blue") + f": {file}")

    def _progress(self, epoch: int, random: list[dict]) -> dict[str, Any]:
        """Settings and results so far, and the place to go on from."""
        return {
            "config": self.config.as_dict(),
            "data_files": self.data_files,
            "epoch": epoch,
            "step": self.step,
            "cur_step": self.cur_step,
            "seconds": self.earlier_seconds + perf_counter() - self._started,
            "best_valid_score": self.best_valid_score,
            # RecBole sets its own only after saving
            "best_valid_result": self.valid_results.get(self.best_epoch, self.best_valid_result),
            "valid_results": self.valid_results,
            "train_loss_dict": self.train_loss_dict,
            "position": self._position_after(epoch, random),
        }

    def _position_after(self, epoch: int, random: list[dict]) -> dict[str, Any]:
        """Where training stands after `epoch`; `random` are the random states of all ranks."""
        raise NotImplementedError

    def _states(self) -> dict[str, Any]:
        """Of the model and of all that trains it."""
        others = self.model.other_parameter() or {}
        states = {
            "state_dict": self.model.state_dict(),
            # modules are in the state_dict already
            "other_parameter": {
                name: value
                for name, value in others.items()
                if not isinstance(value, torch.nn.Module)
            },
            "optimizers": {name: each.state_dict() for name, each in self._optimizers().items()},
            "scaler": self.scaler.state_dict(),
        }
        if self.lr_scheduler is not None:
            states["lr_scheduler"] = self.lr_scheduler.state_dict()
        if hasattr(self.model, "extra_checkpoint"):
            states["extra"] = self.model.extra_checkpoint()
        return states

    def _optimizers(self) -> dict[str, Optimizer]:
        """All optimisers by the attribute that holds them; some of RecBole's trainers take turns.

        `optimizer` itself may be one of the others at the moment, and is then left out.
        """
        found = {name: each for name, each in vars(self).items() if isinstance(each, Optimizer)}
        main = found.pop("optimizer")
        if not any(each is main for each in found.values()):
            found["optimizer"] = main
        return found

    # ---- going on

    def resume(self, where: str) -> None:
        """Go on from a checkpoint with the next `fit`.

        Where the last checkpoint is damaged or foreign, the best one beside it is used.

        Args:
            where: a checkpoint, or `auto` for what an earlier attempt of the same run has left, if
                there is anything.

        Raises:
            InputError: when there is no checkpoint of this run.
        """
        file = Path(self.last_model_file if where == AUTO else where)
        remove_unfinished(file.parent)
        best = best_model_file(file)
        if where == AUTO and not file.exists():
            self.logger.info(f"No checkpoint [{file}] of an earlier attempt: training starts anew")
            return
        try:
            self.resume_checkpoint(file)
        except InputError as error:
            if file == best or not best.exists() or not file.exists():
                raise
            self.logger.warning(f"{error}; the best checkpoint so far is used instead")
            self.resume_checkpoint(best)

    def resume_checkpoint(self, resume_file) -> None:
        """Go on from this checkpoint with the next `fit`, and save beside it.

        Raises:
            InputError: when it is no checkpoint of this model and data set.
        """
        checkpoint = load_checkpoint(resume_file)  # random states must stay on the CPU
        check_same_run(checkpoint, self.config, resume_file)
        if "position" not in checkpoint:
            raise InputError(f"[{resume_file}] holds weights only, and no training to go on with")
        best = best_model_file(resume_file)
        if checkpoint["valid_results"] and not best.exists():
            raise InputError(f"[{resume_file}] needs the best checkpoint beside it, [{best.name}]")
        changes = changed_settings(checkpoint["config"], self.config)
        if changes:
            self.logger.warning(f"[{resume_file}] was saved under other settings: {changes}")
        checkpoint["other_parameter"] = moved(checkpoint["other_parameter"], self.device)
        load_weights(self.model, checkpoint, resume_file)
        self._load_optimizers(checkpoint, resume_file)
        self.saved_model_file = str(best)
        self.start_epoch = checkpoint["epoch"] + 1
        for name in ("step", "cur_step", "best_valid_score", "best_valid_result"):
            setattr(self, name, checkpoint[name])
        self.earlier_seconds = checkpoint["seconds"]
        self.valid_results = checkpoint["valid_results"]
        self.train_loss_dict = checkpoint["train_loss_dict"]
        self._position = checkpoint["position"]
        done = self._position["losses"]["steps"]
        if self.cur_step > self.stopping_step:  # stopped early
            self.start_epoch = self.epochs
        self.logger.info(
            f"Checkpoint [{resume_file}] loaded: training goes on in epoch {self.start_epoch}"
            + (f" after {done} batches" if done else "")
        )

    def _load_optimizers(self, checkpoint: dict[str, Any], file) -> None:
        try:
            for name, state in checkpoint["optimizers"].items():
                getattr(self, name).load_state_dict(state)
        except ValueError as error:
            raise InputError(f"[{file}] does not fit the optimiser: {error}") from error
        if checkpoint["scaler"]:
            self.scaler.load_state_dict(checkpoint["scaler"])
        self._lr_scheduler_state = checkpoint.get("lr_scheduler")


def check_resumable(file: str | Path, config: Any) -> None:
    """Find out before the data are read whether training can go on from `file`.

    Raises:
        InputError: when neither it nor the best one beside it is a checkpoint of this model and
            data set.
    """
    try:
        check_same_run(load_checkpoint(file, mmap=True), config, file)
    except InputError as error:
        best = best_model_file(file)
        if best == Path(file) or not best.exists():
            raise InputError(f"resume: {error}") from error
        check_resumable(best, config)


def best_model_file(file: str | Path) -> Path:
    """The best checkpoint that belongs to a last one, or to itself."""
    file = Path(file)
    return file.with_name(file.stem.removesuffix(LAST) + file.suffix)
