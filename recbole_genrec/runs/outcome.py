"""What training has done, for results and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FitResult:
    """What `fit` has done, with the attempts before from which it went on.

    Attributes:
        train_losses: epoch -> sum of the losses of its batches; empty without epochs.
        valid_results: epoch -> metric -> value, of each validated epoch.
        best_epoch: the one whose validation selects the model; None without validation.
        steps: optimizer steps.
        earlier_seconds: that attempts before this one have trained.
        phases: epoch -> name of its phase.
        objective_weights: steps -> share of each objective then, of losses that mix several.
    """

    train_losses: Mapping[int, float] = field(default_factory=dict)
    valid_results: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    best_epoch: int | None = None
    steps: int = 0
    earlier_seconds: float = 0.0
    phases: Mapping[int, str] = field(default_factory=dict)
    objective_weights: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    @property
    def best_result(self) -> Mapping[str, float] | None:
        """What the validation of the best epoch gave."""
        return None if self.best_epoch is None else self.valid_results[self.best_epoch]
