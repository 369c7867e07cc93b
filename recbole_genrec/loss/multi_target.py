"""Mixtures of token-weighted objectives, the rows of Table 4 of the token-weighting paper.

"Token-Weighted Multi-Target Learning for Generative Recommenders with Curriculum Learning",
arXiv 2601.17787, Section 4.2. Each class adds one component to the one before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from logging import getLogger
from typing import Any

import torch
from torch import Tensor, nn

from recbole_genrec.errors import InputError
from recbole_genrec.loss.context import LossContext
from recbole_genrec.loss.cross_entropy import CrossEntropyLoss, weighted_cross_entropy
from recbole_genrec.loss.token_weights import (
    frequency_weights,
    front_greater_weights,
    normalize_per_target,
)

OBJECTIVES = ("front_greater", "frequency", "cross_entropy")


class ObjectiveMixture(CrossEntropyLoss):
    r"""A convex combination of three objectives over the same token likelihoods.

    .. math::
        L = \alpha_{fg} L_{fg} + \alpha_{fr} L_{fr} + \alpha_{or} L_{or}

    As :math:`\alpha` sums to 1, this is one cross-entropy with the token weights
    :math:`1 + \alpha_{fg} (w^{fg} - 1) + \alpha_{fr} (w^{fr} - 1)`.

    Subclasses say how alpha moves with `step`, the optimizer steps so far.
    """

    step: Tensor
    front_greater_weights: Tensor
    frequency_weights: Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.front_greater_form = config["front_greater_form"]
        self.frequency_beta = config["frequency_beta"]
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def set_context(self, context: LossContext) -> None:
        if context.item_embeddings is None:
            raise InputError(
                "this loss weights tokens by the item embeddings, and these semantic IDs came "
                "without any: set item_embedding_file and item_embedding_ids, or text_encoder and "
                "item_text_fields, or another loss"
            )
        tokens = context.tokens[1:]
        embeddings = context.item_embeddings[1:].to(tokens.device)
        counts = context.target_counts[1:].to(tokens.device)
        front_greater = front_greater_weights(tokens, embeddings, self.front_greater_form)
        frequency = frequency_weights(tokens, counts, context.vocab_size, self.frequency_beta)
        shown = ", ".join(f"{weight:.3g}" for weight in front_greater.tolist())
        getLogger().info(f"Front-Greater weights of the levels of these semantic IDs: {shown}")
        self._set_weights("front_greater_weights", front_greater)  # [L]
        self._set_weights("frequency_weights", frequency)  # [vocab_size]

    def alphas(self) -> Tensor:
        """The current shares of `OBJECTIVES`, `[3]` on the simplex."""
        raise NotImplementedError

    def objective_weights(self) -> dict[str, float]:
        return dict(zip(OBJECTIVES, self.alphas().tolist(), strict=True))

    def weights_per_objective(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Token weights of Front-Greater `[L]` and of Frequency `[batch, L]`."""
        return self.front_greater_weights, normalize_per_target(self.frequency_weights[labels])

    def token_weights(self, labels: Tensor) -> Tensor:
        alpha_front_greater, alpha_frequency, _ = self.alphas()
        front_greater, frequency = self.weights_per_objective(labels)
        return 1 + alpha_front_greater * (front_greater - 1) + alpha_frequency * (frequency - 1)

    def mixture(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The combined loss at the current step, a scalar."""
        return weighted_cross_entropy(logits, labels, self.token_weights(labels))

    def forward(
        self, logits: Tensor, labels: Tensor, logits_without_history: Tensor | None = None
    ) -> Tensor:
        return self.mixture(logits, labels)

    def on_step_end(self) -> None:
        self.step += 1


class FrontGreaterLoss(ObjectiveMixture):
    """The row "+ FrontGreater": its share falls linearly to 0, the rest is plain cross-entropy.

    The paper gives no numbers. Those of the released code count forward passes of 256 samples, two
    to an optimizer step of 512, so that its rates are twice as high here. (It also counts those of
    evaluation, some 15 % more.)
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.front_greater_decay = config["front_greater_decay"]

    def alphas(self) -> Tensor:
        front_greater = (1 - self.front_greater_decay * self.step).clamp(min=0)
        return torch.stack([front_greater, torch.zeros_like(front_greater), 1 - front_greater])


class FrequencyLoss(FrontGreaterLoss):
    """The row "+ Frequency": the share of Frequency rises linearly to at most `frequency_max`.

    That of Front-Greater falls by as much faster, as in the released code, where it goes on below
    0; here it ends there.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.frequency_growth = config["frequency_growth"]
        self.frequency_max = config["frequency_max"]

    def alphas(self) -> Tensor:
        fall = self.front_greater_decay + self.frequency_growth
        front_greater = (1 - fall * self.step).clamp(min=0)
        frequency = (self.frequency_growth * self.step).clamp(max=self.frequency_max)
        return torch.stack([front_greater, frequency, 1 - front_greater - frequency])


class MultiTargetLoss(ObjectiveMixture):
    r"""The row "+ Multi-Target": the shares are learned (Section 4.2.1).

    .. math::
        \alpha_j = \lambda_j / (\lambda_{fg} + \lambda_{fr} + \lambda_{or})

    with :math:`\lambda_j > 0` learned as its logarithm from :math:`\lambda_j = 1`.

    The paper scales the logits of objective j by alpha_j and then approximates the result by
    :math:`\alpha_j L_j`. `scaled_logits` keeps the exact form, at the cost of one softmax per
    objective.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.scaled_logits = config["scaled_logits"]
        self.takes_infinite_logits = not self.scaled_logits  # by a share that may be 0
        self.only_weighs_tokens = not self.scaled_logits
        self.log_lambda = nn.Parameter(torch.zeros(len(OBJECTIVES)))

    def alphas(self) -> Tensor:
        return self.log_lambda.softmax(dim=0)

    def mixture(self, logits: Tensor, labels: Tensor) -> Tensor:
        if not self.scaled_logits:
            return super().mixture(logits, labels)
        weights = (*self.weights_per_objective(labels), None)
        front_greater, frequency, plain = (
            weighted_cross_entropy(alpha * logits.float(), labels, weight)
            for alpha, weight in zip(self.alphas(), weights, strict=True)
        )
        return front_greater + frequency + plain


class TokenWeightedLoss(MultiTargetLoss):
    r"""The row "+ Curriculum", the full method: first coarse tokens, then rare ones (4.2.2).

    .. math::
        \lambda'_{fg} = e^{-ct} \lambda_{fg}, \quad \lambda'_{or} = e^{-ct} \lambda_{or}, \quad
        \lambda'_{fr} = (1 - e^{-ct}) \lambda_{fr}

    where t counts optimizer steps and c is `curriculum_rate`.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.curriculum_rate = config["curriculum_rate"]

    def alphas(self) -> Tensor:
        early = -self.curriculum_rate * self.step  # log e^{-ct}
        late = torch.log(-torch.expm1(early))  # log (1 - e^{-ct}), -inf at t = 0
        return (self.log_lambda + torch.stack([early, late, early])).softmax(dim=0)
