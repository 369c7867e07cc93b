"""Where others may step in while a model is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recbole.data.interaction import Interaction

if TYPE_CHECKING:
    from recbole_genrec.trainer.trainer import GenRecTrainer


class TrainerCallback:
    """Is told what `GenRecTrainer` does; override what is of interest.

    Callbacks are listed in `trainer.callbacks`, or in `GenRecTrainer.callbacks` for all trainers.
    An error that one raises ends training as an error of the trainer would. Where training stands
    is in `trainer.state`.
    """

    def on_phase_start(self, trainer: GenRecTrainer) -> None:
        """Before the first epoch of a phase, and where training goes on in it."""

    def on_epoch_start(self, trainer: GenRecTrainer) -> None:
        """Before the batches of an epoch, or the rest of them, and before each further pass."""

    def on_step_start(self, trainer: GenRecTrainer, batches: Sequence[Interaction]) -> None:
        """Before an optimizer step on these batches."""

    def on_step_end(self, trainer: GenRecTrainer) -> None:
        """After an optimizer step."""

    def on_valid_start(self, trainer: GenRecTrainer) -> None:
        """After the batches of an epoch, before its validation."""

    def on_save(self, trainer: GenRecTrainer, file: Path) -> None:
        """Before a checkpoint is written, on rank 0."""
