"""Trainers of decision trees, which are trained at once by a library of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole.trainer.trainer import DecisionTreeTrainer

from recbole_genrec.errors import refuse
from recbole_genrec.runs.outcome import FitResult
from recbole_genrec.trainer.checkpointer import AUTO


class TreeTrainer(DecisionTreeTrainer):
    """What a run asks of its trainer beside RecBole's interface; goes before RecBole's class.

    There are no epochs to go on from, no batches to share and no lists.
    """

    shares_batches = False
    results: Mapping[str, Any] = {}
    lists: Mapping[str, Any] = {}
    recommended_items = None
    last_model_file = None

    def resume(self, where: str) -> None:
        """Train from the start with the next `fit`, which is all that `auto` can ask for.

        Raises:
            InputError: when a checkpoint is named.
        """
        if where != AUTO:
            model = self.config["model"]
            refuse("resume", f"~ or auto for {model}, which is trained at once", where)

    def outcome(self) -> FitResult:
        """What `fit` has done; nothing is known of its course."""
        return FitResult()
