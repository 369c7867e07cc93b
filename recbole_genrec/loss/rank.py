"""Rank: the ranking-guided loss of LETTER (Wang et al., CIKM 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from recbole_genrec.loss.cross_entropy import CrossEntropyLoss, weighted_cross_entropy


class RankLoss(CrossEntropyLoss):
    """Cross-entropy of `logits / temperature`: below 1 it sharpens towards the hard negatives."""

    only_weighs_tokens = False

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.temperature = config["rank_temperature"]

    def forward(
        self, logits: Tensor, labels: Tensor, logits_without_history: Tensor | None = None
    ) -> Tensor:
        return weighted_cross_entropy(logits.float() / self.temperature, labels)
