"""Dual collaborative distillation: what UniGRec learns from a teacher's item embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from logging import getLogger
from typing import Any

import torch
from torch import Tensor, nn

from recbole_genrec.loss.distillation import RecommenderDistillation, TokenizerDistillation
from recbole_genrec.tokenizer.soft_rqvae import SoftRQVAE

CHUNK = 16384  # items whose assignment probabilities are held at a time


class CollaborativeDistillation(nn.Module):
    r"""The weighted losses :math:`\lambda_{CD}^T \mathcal{L}_{CD}^T` and
    :math:`\lambda_{CD}^R \mathcal{L}_{CD}^R` of Section 3.4, those with a weight above 0.

    Args:
        teacher_embeddings: the teacher's item embeddings `[n_items, teacher_dim]`.
        item_embeddings: those that the tokenizer reads `[n_items, d]`; row 0 of both is padding.
        d_model: width of the encoder and decoder states.
        config: the weights, forms and temperatures of the losses.
    """

    teacher_embeddings: Tensor

    def __init__(
        self,
        teacher_embeddings: Tensor,
        item_embeddings: Tensor,
        d_model: int,
        config: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.register_buffer("teacher_embeddings", teacher_embeddings, persistent=False)
        self.tokenizer_weight = config["tokenizer_distillation_weight"]
        self.recommender_weight = config["recommender_distillation_weight"]
        if self.tokenizer_weight > 0:
            self.tokenizer_side = TokenizerDistillation(
                d_model,
                teacher_embeddings[1:],
                item_embeddings[1:],
                form=config["tokenizer_distillation_form"],
                temperature=config["tokenizer_distillation_temperature"],
                reduction=config["tokenizer_distillation_reduction"],
                stop_gradient=config["tokenizer_distillation_stop_gradient"],
            )
        if self.recommender_weight > 0:
            self.recommender_side = RecommenderDistillation(
                d_model, teacher_embeddings.shape[1], config["distillation_temperature"]
            )
        self._total: Tensor | float = 0.0  # of the tokenizer's side since the last report
        self._steps = 0

    def forward(
        self, histories: Tensor, decoder_states: Tensor, targets: Tensor, tokenizer: SoftRQVAE
    ) -> list[Tensor]:
        """The weighted losses of a batch, scalars.

        Args:
            histories: encoder states averaged over each history `[batch, d_model]`.
            decoder_states: first decoder state of each target `[batch, d_model]`.
            targets: target items `[batch]`.
            tokenizer: gives the soft codes of the histories and of the teacher.
        """
        teacher = self.teacher_embeddings[targets]  # [batch, teacher_dim]
        losses = []
        if self.tokenizer_weight > 0:
            loss = self.tokenizer_side(histories, teacher, targets, tokenizer.log_assignments)
            self._total, self._steps = self._total + loss.detach(), self._steps + 1
            losses.append(self.tokenizer_weight * loss)
        if self.recommender_weight > 0:
            loss = self.recommender_side(decoder_states, teacher, targets)
            losses.append(self.recommender_weight * loss)
        return losses

    @torch.no_grad()
    def teacher_codes(self, tokenizer: SoftRQVAE) -> Tensor:
        """The likeliest codes `[n_items - 1, L]` of all items as the teacher sees them."""
        side = self.tokenizer_side
        chunks = [
            tokenizer.log_assignments(side.teacher_projection(rows), side.temperature)
            for rows in self.teacher_embeddings[1:].split(CHUNK)
        ]
        return torch.cat([torch.stack([p.argmax(1) for p in levels], 1) for levels in chunks])

    def report(self, epoch: int, tokenizer: SoftRQVAE) -> None:
        """Log the tokenizer's side of an epoch: it has failed if all items have the same codes."""
        if not self._steps:
            return
        loss = self._total / self._steps
        self._total, self._steps = 0.0, 0
        used = [len(level.unique()) for level in self.teacher_codes(tokenizer).unbind(1)]
        getLogger().info(
            f"Distillation into the tokenizer in epoch {epoch}: {loss:.4g} before its weight; the "
            f"teacher's items use {used} codes of {tokenizer.codebook_sizes}"
        )
