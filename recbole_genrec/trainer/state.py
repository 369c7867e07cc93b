"""Where training stands: everything but weights and optimizers that it needs to go on exactly."""

from __future__ import annotations

from logging import getLogger
from operator import attrgetter
from time import perf_counter
from typing import Any

import torch
from recbole.utils import calculate_valid_score

from recbole_genrec.parallel.distributed import rank, world_size
from recbole_genrec.trainer.epoch_losses import EpochLosses
from recbole_genrec.trainer.random_states import set_random_states

PROGRESS = (  # kept and restored as they are
    "phase",
    "step",
    "part_steps",
    "cur_step",
    "best_valid_score",
    "best_valid_result",
    "train_loss_dict",
    "valid_results",
)


def kept(name: str) -> property:
    """An attribute of RecBole's trainer that is kept in its `state`."""

    def keep(trainer: Any, value: Any) -> None:
        setattr(trainer.state, name, value)

    return property(attrgetter(f"state.{name}"), keep)


class TrainingState:
    """Progress of a training, results so far and the place in the epoch under way.

    Attributes:
        phase: number of the phase under way, from 0.
        epoch: number of the epoch under way, or trained last; -1 before there was one.
        step: optimizer steps so far.
        part_steps: those of this phase in which each part was trained.
        cur_step: validations of this phase without a better result, as RecBole calls it.
        train_loss_dict: epoch -> sum of the losses of its batches, as RecBole calls it.
        valid_results: epoch -> metrics in validation.
        losses: of the epoch under way.
        steps_per_epoch: of the epoch under way.
        earlier_seconds: that attempts before this one have trained.
    """

    def __init__(self, config: Any) -> None:
        self._device = config["device"]
        self._valid_metric = config["valid_metric"].lower()
        self.phase = 0
        self.epoch = -1
        self.step = 0
        self.part_steps: dict[str, int] = {}
        self.cur_step = 0
        self.best_valid_score = 0.0  # RecBole's trainer sets the worst one
        self.best_valid_result: dict[str, float] | None = None
        self.train_loss_dict: dict[int, float] = {}
        self.valid_results: dict[int, dict[str, float]] = {}
        self.losses = EpochLosses(-1, self._device)
        self.steps_per_epoch = 0
        self.earlier_seconds = 0.0
        self._started = perf_counter()
        self._generators: list[torch.Generator] = []  # which order the data
        self._order: list[torch.Tensor] = []  # their states when the epoch started
        self._position: dict[str, Any] | None = None  # of a checkpoint, for the next epoch

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose validation selects the model: the latest of those with the best score."""
        best = None
        for epoch, result in sorted(self.valid_results.items()):
            if calculate_valid_score(result, self._valid_metric) == self.best_valid_score:
                best = epoch
        return best

    def begin_phase(self, number: int) -> None:
        """Go over to another phase, whose steps and validations are counted anew."""
        self.phase, self.part_steps, self.cur_step = number, {}, 0

    def begin_epoch(self, epoch: int, steps: int, generators: list[torch.Generator]) -> None:
        """Go over to another epoch, or go on in the one that a checkpoint was saved in.

        Args:
            epoch: its number.
            steps: how many optimizer steps it has.
            generators: those that decide on the order of the training data.
        """
        self.epoch, self.steps_per_epoch, self._generators = epoch, steps, generators
        self.losses = EpochLosses(epoch, self._device)
        if self._position is not None:
            self._restore(self._position)
            self._position = None
        if not self.losses.steps:
            self._order = self._generator_states()

    def state_dict(self, finished: int, random: list[dict[str, Any]]) -> dict[str, Any]:
        """Plain values and tensors from which `load_state_dict` goes on.

        Args:
            finished: the last epoch that is finished, with its validation.
            random: the random states of all ranks.
        """
        under_way = finished < self.epoch
        losses = self.losses if under_way else EpochLosses(finished + 1, self._device)
        so_far = losses.state_dict()
        halfway = so_far["steps"] and not so_far["complete"]  # its batches will be drawn again
        values = {name: vars(self)[name] for name in PROGRESS}
        best = self.best_valid_result  # which RecBole sets only after saving
        if self.best_epoch is not None:
            best = self.valid_results[self.best_epoch]
        return {
            **values,
            "best_valid_result": best,
            "epoch": finished,
            "seconds": self.earlier_seconds + perf_counter() - self._started,
            "position": {
                "losses": so_far,
                "steps": self.steps_per_epoch,
                "order": self._order if halfway else self._generator_states(),
                "random": random,
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` has noted, with the next epoch that begins."""
        vars(self).update({name: state[name] for name in PROGRESS})
        self.earlier_seconds = state["seconds"]
        self._position = state["position"]

    def _restore(self, position: dict[str, Any]) -> None:
        """Put data order, losses and random states back to a position in the present epoch."""
        self._order = position["order"]
        for generator, state in zip(self._generators, self._order, strict=True):
            generator.set_state(state)
        if not position["losses"]["steps"] or position["steps"] == self.steps_per_epoch:
            self.losses.load_state_dict(position["losses"])
        else:
            getLogger().warning(
                f"Epoch {self.epoch} begins anew: it has {self.steps_per_epoch} steps, and "
                f"{position['steps']} when it was interrupted"
            )
        self._restore_random(position["random"])

    def _restore_random(self, states: list[dict[str, Any]]) -> None:
        if len(states) != world_size():
            getLogger().warning(
                f"{len(states)} processes have trained so far, and {world_size()} go on: the "
                "random numbers, as for dropout, are others from here"
            )
        if rank() < len(states):  # else the process keeps those that it started with
            set_random_states(states[rank()], self._device)

    def _generator_states(self) -> list[torch.Tensor]:
        return [generator.get_state() for generator in self._generators]
