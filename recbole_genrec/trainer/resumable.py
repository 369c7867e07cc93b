"""A trainer that can be stopped at any moment and goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from recbole.data.interaction import Interaction
from recbole.utils import ModelType

from recbole_genrec.parallel.distributed import gather, rank, share_of_batches, world_size
from recbole_genrec.trainer.checkpointing import CheckpointingTrainer
from recbole_genrec.trainer.epoch_losses import EpochLosses
from recbole_genrec.trainer.faults import explained_memory
from recbole_genrec.trainer.random_states import (
    data_generators,
    random_states,
    set_random_states,
)


class ResumableTrainer(CheckpointingTrainer):
    """Knows its place in an epoch: losses so far, the order of the data and all random states.

    Beside the best checkpoint `fit` leaves a last one: at the start of every epoch and at its own
    end, every `checkpoint_step` optimiser steps, after Ctrl-C and when a validation fails. On a
    CPU, training that goes on from either ends with the same bits as training that was not stopped.

    Trainers with several passes over the data in an epoch go on from its start only.
    """

    def __init__(self, config, model):
        super().__init__(config, model)
        self._keeps_last = False
        self._epoch_idx = -1
        self._losses = EpochLosses(-1, self.device)  # of the epoch under way
        self._steps = 0  # that an epoch has
        self._generators: list[torch.Generator] = []  # which order the data
        self._order: list[torch.Tensor] = []  # their states when the epoch started

    @property
    def _has_one_pass(self) -> bool:
        """Whether an epoch is one pass over the data, so that a place in it can be found again."""
        raise NotImplementedError

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, *args, **options):
        """As in RecBole; with `saved` the last checkpoint is kept beside the best one.

        Raises:
            InputError: when a loss is NaN.
            RunError: when a checkpoint cannot be written, or there is not enough memory.
        """
        # models without epochs have nothing to go on with, and may be as large as their data
        self._keeps_last = saved and self.config["MODEL_TYPE"] != ModelType.TRADITIONAL
        self._epoch_idx = -1
        with explained_memory(self.config):
            result = super().fit(train_data, valid_data, verbose, saved, *args, **options)
        if self._keeps_last and self._epoch_idx >= 0:
            self._save_checkpoint(self._epoch_idx, False, self.last_model_file)
        return result

    def _begin_epoch(self, train_data, epoch_idx: int) -> EpochLosses:
        """Save where training stands, or restore it; returns the losses of the epoch so far."""
        losses = EpochLosses(epoch_idx, self.device)
        if epoch_idx == self._epoch_idx:  # another pass in the same epoch
            return losses
        self._epoch_idx, self._losses = epoch_idx, losses
        self._steps = self._steps_per_epoch(train_data)
        self._generators = data_generators(train_data)
        if self._position is not None:
            self._restore(self._position)
            self._position = None
        if not losses.steps:
            self._order = self._generator_states()
            self._save_last()
        return losses

    def _restore(self, position: dict[str, Any]) -> None:
        """Put data order, losses and random states back to a position in the present epoch."""
        self._order = position["order"]
        for generator, state in zip(self._generators, self._order, strict=True):
            generator.set_state(state)
        if not position["losses"]["steps"] or position["steps"] == self._steps:
            self._losses.load_state_dict(position["losses"])
        else:
            self.logger.warning(
                f"Epoch {self._epoch_idx} begins anew: it has {self._steps} steps, and "
                f"{position['steps']} when it was interrupted"
            )
        self._restore_random([position["random"], *position.get("random_of_others", [])])

    def _restore_random(self, states: list[dict]) -> None:
        if len(states) != world_size():
            self.logger.warning(
                f"{len(states)} processes have trained so far, and {world_size()} go on: the "
                "random numbers, as for dropout, are others from here"
            )
        if rank() < len(states):  # else the process keeps those that it started with
            set_random_states(states[rank()], self.device)

    def _steps_per_epoch(self, train_data) -> int:
        return -(-len(train_data) // self.config["gradient_accumulation_steps"])

    def _remaining_steps(self, train_data, done: int) -> Iterator[list[Interaction]]:
        """The batches of each step of the epoch after the first `done`."""
        before = random_states(self.device)
        batches = iter(share_of_batches(train_data))
        size = self.config["gradient_accumulation_steps"]
        for _ in islice(batches, done * size):  # the last step may have fewer
            pass
        if done:  # they were drawn again, also the random numbers in them
            set_random_states(before, self.device)
        while step := list(islice(batches, size)):
            yield step

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
        before = gather(random_states(self.device))
        try:
            score, result = super()._valid_epoch(valid_data, show_progress)
        except BaseException:  # so that the epoch need not be trained again
            if self._has_one_pass:
                self._save_last(before)
            raise
        self.valid_results[self._epoch_idx] = result
        return score, result

    def _save_last(self, random: list[dict] | None = None) -> None:
        if self._keeps_last:
            self._save_checkpoint(self._epoch_idx - 1, False, self.last_model_file, random)

    def _position_after(self, epoch: int, random: list[dict]) -> dict[str, Any]:
        under_way = epoch < self._epoch_idx
        losses = self._losses if under_way else EpochLosses(epoch + 1, self.device)
        so_far = losses.state_dict()
        halfway = so_far["steps"] and not so_far["complete"]  # its batches will be drawn again
        return {
            "losses": so_far,
            "steps": self._steps,
            "order": self._order if halfway else self._generator_states(),
            "random": random[0],
            "random_of_others": random[1:],  # of the ranks above 0
        }

    def _generator_states(self) -> list[torch.Tensor]:
        return [generator.get_state() for generator in self._generators]
