"""Pos: earlier tokens weigh more (Zhang et al., arXiv 2410.22809)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from recbole_genrec.loss.context import LossContext
from recbole_genrec.loss.cross_entropy import CrossEntropyLoss


def position_weights(num_levels: int, last_weight: float = 0.5) -> Tensor:
    """Weights `[L]` that fall linearly from 1 to `last_weight`, scaled to sum L."""
    weights = torch.linspace(1.0, last_weight, num_levels, dtype=torch.float64)
    return weights * (num_levels / weights.sum())


class PosLoss(CrossEntropyLoss):
    """Cross-entropy with weights that fall linearly over the positions of the semantic ID."""

    position_weights: Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.last_weight = config["pos_last_weight"]

    def set_context(self, context: LossContext) -> None:
        weights = position_weights(context.num_levels, self.last_weight)
        self._set_weights("position_weights", weights.to(context.tokens.device))  # [L]

    def token_weights(self, labels: Tensor) -> Tensor:
        return self.position_weights
