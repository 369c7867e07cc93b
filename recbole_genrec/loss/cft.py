"""CFT: causal fine-tuning (Zhang et al., arXiv 2410.22809)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from recbole_genrec.loss.cross_entropy import weighted_cross_entropy
from recbole_genrec.loss.pos import PosLoss


class CFTLoss(PosLoss):
    r"""Pos on the logits f(x), plus the same loss on what the history alone contributes to them.

    .. math::
        L = L_{pos}(f(x)) + \gamma L_{pos}(f(x) - f(\emptyset))

    where the second pass sees the target tokens but an empty history. Gradients flow through both
    passes.
    """

    takes_infinite_logits = False  # of which it takes differences
    needs_history_free = True
    only_weighs_tokens = False

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.causal_weight = config["cft_weight"]

    def forward(
        self, logits: Tensor, labels: Tensor, logits_without_history: Tensor | None = None
    ) -> Tensor:
        if logits_without_history is None:
            raise ValueError("CFT needs logits_without_history, the logits after an empty history")
        effect = logits.float() - logits_without_history.float()
        weights = self.token_weights(labels)
        return weighted_cross_entropy(
            logits, labels, weights
        ) + self.causal_weight * weighted_cross_entropy(effect, labels, weights)
