"""Dual collaborative distillation: what UniGRec learns from a teacher's item embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from recbole_genrec.loss.distillation import RecommenderDistillation, TokenizerDistillation


class CollaborativeDistillation(nn.Module):
    r"""The weighted losses :math:`\lambda_{CD}^T \mathcal{L}_{CD}^T` and
    :math:`\lambda_{CD}^R \mathcal{L}_{CD}^R` of Section 3.4, those with a weight above 0.

    Args:
        teacher_embeddings: the teacher's item embeddings `[n_items, teacher_dim]`.
        d_model: width of the encoder and decoder states.
        tokenizer_dim: width of the tokenizer's input.
        config: the weights and the temperature of the contrast.
    """

    def __init__(
        self,
        teacher_embeddings: Tensor,
        d_model: int,
        tokenizer_dim: int,
        config: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.register_buffer("teacher_embeddings", teacher_embeddings, persistent=False)
        self.tokenizer_weight = config["tokenizer_distillation_weight"]
        self.recommender_weight = config["recommender_distillation_weight"]
        teacher_dim = teacher_embeddings.shape[1]
        if self.tokenizer_weight > 0:
            self.tokenizer_side = TokenizerDistillation(d_model, teacher_dim, tokenizer_dim)
        if self.recommender_weight > 0:
            self.recommender_side = RecommenderDistillation(
                d_model, teacher_dim, config["distillation_temperature"]
            )

    def forward(
        self, histories: Tensor, decoder_states: Tensor, targets: Tensor, tokenizer: nn.Module
    ) -> list[Tensor]:
        """The weighted losses of a batch, scalars.

        Args:
            histories: encoder states averaged over each history `[batch, d_model]`.
            decoder_states: first decoder state of each target `[batch, d_model]`.
            targets: target items `[batch]`.
            tokenizer: has `log_assignments`.
        """
        teacher = self.teacher_embeddings[targets]  # [batch, teacher_dim]
        losses = []
        if self.tokenizer_weight > 0:
            loss = self.tokenizer_side(histories, teacher, targets, tokenizer.log_assignments)
            losses.append(self.tokenizer_weight * loss)
        if self.recommender_weight > 0:
            loss = self.recommender_side(decoder_states, teacher, targets)
            losses.append(self.recommender_weight * loss)
        return losses
