"""Cross-entropy over the tokens of the target: TIGER's loss and the base of all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.loss.context import LossContext


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over all tokens of the batch of the weighted negative log-likelihood.

    The papers sum over the L tokens of a target; the mean is that sum divided by L, as in
    `transformers` and in all released code. Computed in float32.

    Args:
        logits: `[batch, L, vocab_size]`
        labels: tokens of the targets `[batch, L]`
        weights: `[batch, L]` or `[L]`; weights of 1 change no bit of the result.
    """
    nll = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none")
    nll = nll.view_as(labels)  # [batch, L]
    return nll.mean() if weights is None else (nll * weights).mean()


class CrossEntropyLoss(nn.Module):
    """Mean negative log-likelihood of the target tokens (TIGER).

    The base class of all losses: most others only weight the tokens differently. The weights are
    buffers that `set_context` computes; they are not saved, as they follow from the data. What is
    learned or counted during training is saved.

    Args:
        config: mapping of the keys in the file of the loss in properties/loss.
    """

    takes_infinite_logits = True
    """Whether `forward` can be given -inf for tokens that share no probability."""
    needs_history_free = False
    """Whether `forward` takes the logits of the same targets after an empty history."""
    only_weighs_tokens = True
    """Whether `forward` is cross-entropy with `token_weights`, and nothing else."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()

    def set_context(self, context: LossContext) -> None:
        """Compute the weights from the data, on the device of `context.tokens`.

        To be called before training, and again whenever the semantic IDs change.
        """

    def token_weights(self, labels: Tensor) -> Tensor | None:
        """Weights of the target tokens, `[batch, L]` or `[L]`; None weights all alike."""
        return None

    def objective_weights(self) -> dict[str, float]:
        """The current share of each objective by name; empty where there is only one.

        Waits for the device, so it is meant for logs, not for every step.
        """
        return {}

    def on_step_end(self) -> None:
        """To be called after each optimizer step."""

    def forward(
        self, logits: Tensor, labels: Tensor, logits_without_history: Tensor | None = None
    ) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            logits: `[batch, L, vocab_size]`
            labels: tokens of the targets `[batch, L]`
            logits_without_history: `[batch, L, vocab_size]`, only where `needs_history_free`.
        """
        return weighted_cross_entropy(logits, labels, self.token_weights(labels))

    def _set_weights(self, name: str, weights: Tensor) -> None:
        if weights.is_floating_point():
            weights = weights.to(torch.float32)
        self.register_buffer(name, weights, persistent=False)
