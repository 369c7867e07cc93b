"""The outcome of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recbole_genrec.runs.outcome import FitResult
from recbole_genrec.trainer.phases import phase_names

if TYPE_CHECKING:
    from recbole_genrec.trainer.trainer import GenRecTrainer


def fit_result(trainer: GenRecTrainer) -> FitResult:
    """What a trainer has done."""
    state = trainer.state
    return FitResult(
        train_losses=state.train_loss_dict,
        valid_results=state.valid_results,
        best_epoch=state.best_epoch,
        steps=state.step,
        earlier_seconds=state.earlier_seconds,
        phases=phase_names(trainer.phases, state.train_loss_dict),
        objective_weights=trainer.hooks.objective_weights(),
    )
