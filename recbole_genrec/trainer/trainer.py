"""RecBole's Trainer on current libraries: one training and evaluation loop for all models."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from operator import methodcaller
from pathlib import Path
from typing import Any

import torch
from recbole.utils import ModelType, set_color
from torch.optim import AdamW

from recbole_genrec.errors import refuse
from recbole_genrec.model.hooks import hooks_of
from recbole_genrec.parallel import distributed
from recbole_genrec.runs.checkpoint import load_checkpoint, load_weights
from recbole_genrec.runs.outcome import FitResult
from recbole_genrec.trainer.batches import remaining_steps, steps_per_epoch
from recbole_genrec.trainer.callbacks import TrainerCallback
from recbole_genrec.trainer.checkpointer import Checkpointer
from recbole_genrec.trainer.epoch_losses import EpochLosses
from recbole_genrec.trainer.evaluation import EvaluatingTrainer
from recbole_genrec.trainer.faults import explained_faults, finishing_batches
from recbole_genrec.trainer.muon import MUON, MuonAdamW
from recbole_genrec.trainer.outcome import fit_result
from recbole_genrec.trainer.phases import PhaseRun, first_epoch, parts_of
from recbole_genrec.trainer.random_states import data_generators, random_states, set_random_states
from recbole_genrec.trainer.snapshot import go_on, snapshot, unsaved_buffers
from recbole_genrec.trainer.speed import Speed, progress_bar
from recbole_genrec.trainer.state import TrainingState, kept
from recbole_genrec.trainer.step import OptimizerStep


class GenRecTrainer(EvaluatingTrainer):
    """Trains any model, phase by phase, and evaluates it.

    With RecBole's settings the losses and metrics are RecBole's, seed for seed. Of several
    processes each computes its share of every batch; the gradients are those of the whole.

    Beside the best checkpoint `fit` leaves a last one: at the start of every epoch, at the end of
    every phase, every `checkpoint_step` optimizer steps, after Ctrl-C and when a validation fails.
    On a CPU, training that goes on from either ends with the same bits as training that was not
    stopped. Trainers with several passes over the data in an epoch go on from its start only.

    Attributes:
        callbacks: are told what the trainer does, see `TrainerCallback`.
        state: where training stands.
        checkpointer: where that is kept.
        phases: what is to be done, one after the other; `phase_run` is the one under way.
    """

    shares_batches = True  # whether several processes may train together
    callbacks: Sequence[TrainerCallback] = ()

    step = kept("step")
    cur_step = kept("cur_step")
    best_valid_score = kept("best_valid_score")
    best_valid_result = kept("best_valid_result")
    train_loss_dict = kept("train_loss_dict")
    valid_results = kept("valid_results")
    best_epoch = kept("best_epoch")

    def __init__(self, config, model) -> None:
        self.hooks = hooks_of(model)
        self.state = TrainingState(config)
        self.checkpointer = Checkpointer(config)
        self.phases = self.hooks.phases(config)
        self.parts = parts_of(self.hooks)
        self.phase_run = PhaseRun(self.phases[0], 0, self.parts)
        self.optimizer_step = OptimizerStep(config, model)
        best = self.saved_model_file
        super().__init__(config, model)
        self.saved_model_file = best  # RecBole names it after the time
        self._follow_phase()
        self._batches_per_step = config["gradient_accumulation_steps"]
        if self._batches_per_step > 1 and not self._has_one_pass:
            allowed = f"1 for {config['model']}, which has its own way of training"
            refuse("gradient_accumulation_steps", allowed, self._batches_per_step)
        if config["compile"]:
            self.hooks.compile_layers()
        torch.autograd.set_detect_anomaly(False)  # on since somebody imported RecBole's models
        self._keeps_last = False

    @property
    def saved_model_file(self) -> str:
        """Where the best checkpoint lies."""
        return str(self.checkpointer.best)

    @saved_model_file.setter
    def saved_model_file(self, file: str) -> None:
        self.checkpointer.best = Path(file)

    @property
    def last_model_file(self) -> str:
        """Where the last checkpoint lies, beside the best one."""
        return str(self.checkpointer.last)

    @cached_property
    def unsaved_buffers(self) -> dict[str, str]:
        """Hashes of what training reads, as it found it, and a checkpoint does not hold."""
        return unsaved_buffers(self.model)

    @property
    def _has_one_pass(self) -> bool:
        """Whether an epoch is one pass over the data, so that a place in it can be found again."""
        return type(self)._train_epoch is GenRecTrainer._train_epoch

    def _notify(self, event: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            methodcaller(event, self, *arguments)(callback)

    # ---- phases

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, *args, **options):
        """As in RecBole, through all phases that are left.

        Raises:
            InputError: when a loss is NaN.
            RunError: when a checkpoint cannot be written, or there is not enough memory.
        """
        # models without epochs have nothing to go on with, and may be as large as their data
        self._keeps_last = saved and self.config["MODEL_TYPE"] != ModelType.TRADITIONAL
        try:
            with explained_faults(self.config):
                for number in range(self.state.phase, len(self.phases)):
                    self._begin_phase(number, saved)
                    result = super().fit(train_data, valid_data, verbose, saved, *args, **options)
                    if self._keeps_last and self.state.epoch >= 0:  # something was trained
                        self._save_checkpoint(self.state.epoch, False, self.last_model_file)
        finally:
            self.phase_run.end()
            self.tensorboard.close()  # or its thread would stay
        return result

    def _begin_phase(self, number: int, saved: bool) -> None:
        phase = self.phases[number]
        if number > self.state.phase:
            if phase.from_best and saved:
                file = self.saved_model_file
                load_weights(self.model, load_checkpoint(file), file)
            elif phase.from_best:
                self.logger.warning(f"No epoch was saved: {phase.name} starts from the last one")
            self.enter_phase(number)
            self.start_epoch = self.phase_run.first_epoch
        self.state.epoch = -1
        if self.start_epoch < self.epochs:
            self.logger.info(
                f"Phase {number + 1} of {len(self.phases)}, {phase.name}: epochs "
                f"{self.start_epoch} to {self.epochs - 1}, {self.phase_run}"
            )
            self._notify("on_phase_start")

    def enter_phase(self, number: int) -> None:
        """Start a later phase, or go over to it to go on within."""
        self.phase_run.end()
        self.state.begin_phase(number)
        self.phase_run = PhaseRun(self.phases[number], first_epoch(self.phases, number), self.parts)
        self._follow_phase()
        self.optimizer = self._build_optimizer()

    def _follow_phase(self) -> None:
        phase = self.phase_run.phase
        self.epochs = self.phase_run.first_epoch + phase.epochs
        self.stopping_step = phase.stopping_step
        self.eval_step = min(self.config["eval_step"], phase.epochs)

    def _build_optimizer(self, **kwargs):
        kwargs.setdefault("params", self.phase_run.parameter_groups())
        if kwargs.get("learner", self.learner).lower() == MUON:
            rate = kwargs.get("learning_rate", self.learning_rate)
            decay = kwargs.get("weight_decay", self.weight_decay)
            return MuonAdamW(kwargs["params"], self.hooks.network, rate, decay)
        optimizer = super()._build_optimizer(**kwargs)
        if isinstance(optimizer, AdamW):
            for group in optimizer.param_groups:
                group["fused"] = True
        return optimizer

    def outcome(self) -> FitResult:
        """What `fit` has done."""
        return fit_result(self)

    # ---- an epoch

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        """Train for one epoch; returns the sum of the losses of its batches as RecBole does.

        Raises:
            InputError: when a loss is NaN; the epoch and the batch are named.
            KeyboardInterrupt: after Ctrl-C, once a batch is finished and saved.
        """
        self.model.train()
        losses = self._begin_epoch(train_data, epoch_idx)
        self._notify("on_epoch_start")
        before = random_states(self.device)
        self.hooks.on_epoch_start(epoch_idx)
        if losses.steps:  # the epoch goes on, and drew its numbers for the hook long ago
            set_random_states(before, self.device)
        if not losses.complete:
            with finishing_batches() as stopping:
                loss_func = loss_func or self.model.calculate_loss
                self._train_batches(train_data, losses, loss_func, show_progress, stopping)
                distributed.agree_on_statistics(self.model)
                self.hooks.on_epoch_end(epoch_idx)
                losses.complete = True
                if distributed.any_rank(stopping()):
                    self._after_batch(stopping=True)
        return losses.total()

    def _begin_epoch(self, train_data, epoch: int) -> EpochLosses:
        """Save where training stands, or restore it; returns the losses of the epoch so far."""
        if epoch == self.state.epoch:  # another pass in the same epoch
            return EpochLosses(epoch, self.device)
        steps = steps_per_epoch(train_data, self._batches_per_step)
        self.state.begin_epoch(epoch, steps, data_generators(train_data))
        self.phase_run.begin_epoch(epoch, self.epochs, steps, self.optimizer)
        self.phase_run.set_learning_rates(self.optimizer, self.state.part_steps)
        if not self.state.losses.steps:
            self._save_last()
        return self.state.losses

    def _train_batches(self, train_data, losses, loss_func, show_progress, stopping) -> None:
        steps = remaining_steps(train_data, self._batches_per_step, losses.steps, self.device)
        place = self.state.epoch, losses.steps, self.state.steps_per_epoch
        steps = progress_bar(steps, *place, shown=show_progress)
        speed = Speed(self.hooks, self.device)
        for batches in steps:
            speed.add(batches)
            self._notify("on_step_start", batches)
            losses.add(self.optimizer_step(self.optimizer, batches, loss_func))
            self.step += 1
            self.phase_run.count_step(self.optimizer, self.state.part_steps)
            self.hooks.on_step_end()
            self._notify("on_step_end")
            if show_progress and not losses.pending:
                steps.set_postfix_str(set_color(speed.text(), "yellow"), refresh=False)
            self._after_batch(distributed.any_rank(stopping()))

    def _after_batch(self, stopping: bool) -> None:
        """Save where training stands if it is time to, or if it stops here.

        Raises:
            KeyboardInterrupt: if it stops here.
        """
        every = self.config["checkpoint_step"]
        if self._has_one_pass and (stopping or (every and self.step % every == 0)):
            self._save_last()
        if stopping:
            raise KeyboardInterrupt

    def _valid_epoch(self, valid_data, show_progress=False):
        before = distributed.gather(random_states(self.device))
        try:
            self._notify("on_valid_start")
            score, result = super()._valid_epoch(valid_data, show_progress)
        except BaseException:  # so that the epoch need not be trained again
            if self._has_one_pass:
                self._save_last(before)
            raise
        self.valid_results[self.state.epoch] = result
        return score, result

    def _add_train_loss_to_tensorboard(self, epoch_idx, losses, tag="Loss/Train"):
        super()._add_train_loss_to_tensorboard(epoch_idx, losses, tag)
        noted = self.hooks.objective_weights()
        for name, share in (noted[max(noted)] if noted else {}).items():
            self.tensorboard.add_scalar(f"Objective/{name}", share, self.step)

    # ---- checkpoints

    def _save_checkpoint(self, epoch, verbose=True, saved_model_file=None, random=None) -> None:
        """Save everything, on rank 0.

        Args:
            epoch: the last that is finished, with its validation.
            random: the random states of all ranks; all meet to gather them if not given.
        """
        if epoch < 0 and self.start_epoch > 0:  # resumed at the end: what is there stays
            return
        random = random or distributed.gather(random_states(self.device))
        if distributed.rank() != 0:
            return
        file = Path(saved_model_file or self.saved_model_file)
        self._notify("on_save", file)
        self.checkpointer.save(snapshot(self, epoch, random), file)
        if verbose:
            self.logger.info(set_color("Saving current", "blue") + f": {file}")

    def _save_last(self, random: list[dict[str, Any]] | None = None) -> None:
        if self._keeps_last:
            self._save_checkpoint(self.state.epoch - 1, False, self.last_model_file, random)

    def resume(self, where: str) -> None:
        """Go on with the next `fit` from a checkpoint, or with `auto` from that of an earlier
        attempt, if there is one.

        Raises:
            InputError: when there is no checkpoint of this run.
        """
        found = self.checkpointer.find(where)
        if found is not None:
            go_on(self, *found)

    def resume_checkpoint(self, resume_file) -> None:
        """Go on from this checkpoint with the next `fit`, and save beside it.

        Raises:
            InputError: when it is no checkpoint of this model and data set.
        """
        go_on(self, self.checkpointer.load(resume_file), Path(resume_file))
