"""Collaborative distillation from a teacher's item embeddings, Section 3.4 of UniGRec.

Both losses see each target item once per batch. They work on all rows and mask the repeated ones,
so that shapes stay the same from batch to batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def first_occurrences(items: Tensor) -> Tensor:
    """Mask of the rows whose item no earlier row has, BoolTensor `[batch]` for items `[batch]`."""
    same = items.unsqueeze(0) == items.unsqueeze(1)  # [batch, batch]
    return ~same.tril(diagonal=-1).any(dim=1)


def symmetric_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""KL divergence in both directions, :math:`\sum_k (p_k - q_k)(\log p_k - \log q_k)`.

    Args:
        log_p, log_q: finite log-probabilities `[batch, K]`.

    Returns:
        `[batch]`
    """
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=-1)


def tokenizer_distillation(
    log_p: Sequence[Tensor], log_q: Sequence[Tensor], items: Tensor
) -> Tensor:
    """Eq. 18: symmetric KL summed over the levels, averaged over the distinct target items.

    Args:
        log_p, log_q: one tensor of log assignment probabilities `[batch, K_l]` per level.
        items: target items `[batch]`.
    """
    divergence = sum(symmetric_kl(p, q) for p, q in zip(log_p, log_q, strict=True))  # [batch]
    distinct = first_occurrences(items)
    return torch.where(distinct, divergence, 0).sum() / distinct.sum()


def info_nce(queries: Tensor, keys: Tensor, items: Tensor, temperature: float = 0.07) -> Tensor:
    """Eq. 19 over the distinct items of the batch: row i of `queries` should find row i of `keys`.

    The paper sums over the items; the mean makes the weight of the loss independent of the batch
    size, as it is for the recommendation loss.

    Args:
        queries, keys: `[batch, d]`, compared by cosine similarity in float32.
        items: `[batch]`; the first row of an item stands for all of its rows.
    """
    distinct = first_occurrences(items)
    queries, keys = F.normalize(queries.float(), dim=-1), F.normalize(keys.float(), dim=-1)
    with torch.autocast(queries.device.type, enabled=False):
        similarity = queries @ keys.T / temperature  # [batch, batch]
    similarity = similarity.masked_fill(~distinct, torch.finfo(similarity.dtype).min)
    target = torch.arange(len(items), device=items.device)
    nll = F.cross_entropy(similarity, target, reduction="none")  # [batch]
    return torch.where(distinct, nll, 0).sum() / distinct.sum()


class TokenizerDistillation(nn.Module):
    """Eq. 18: the history and the target item as the teacher sees it get the same soft codes.

    Args:
        encoder_dim: width of the encoder states.
        teacher_dim: width of the teacher's item embeddings.
        tokenizer_dim: width of the tokenizer's input.
    """

    def __init__(self, encoder_dim: int, teacher_dim: int, tokenizer_dim: int) -> None:
        super().__init__()
        self.encoder_projection = nn.Linear(encoder_dim, tokenizer_dim)
        self.teacher_projection = nn.Linear(teacher_dim, tokenizer_dim)

    def forward(
        self,
        history: Tensor,
        teacher: Tensor,
        items: Tensor,
        log_assignments: Callable[[Tensor], Sequence[Tensor]],
    ) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            history: encoder states averaged over each history `[batch, encoder_dim]`.
            teacher: the teacher's embeddings of the target items `[batch, teacher_dim]`.
            items: target items `[batch]`.
            log_assignments: the tokenizer, from inputs `[batch, tokenizer_dim]` to the log
                assignment probabilities `[batch, K_l]` of each level (Eq. 14).
        """
        return tokenizer_distillation(
            log_assignments(self.encoder_projection(history)),
            log_assignments(self.teacher_projection(teacher)),
            items,
        )


class RecommenderDistillation(nn.Module):
    """Eq. 20: decoder states and the teacher's embeddings of the targets find each other.

    Args:
        decoder_dim: width of the decoder states.
        teacher_dim: width of the teacher's item embeddings.
        temperature: of the softmax over the items of the batch.
    """

    def __init__(self, decoder_dim: int, teacher_dim: int, temperature: float = 0.07) -> None:
        super().__init__()
        self.decoder_projection = nn.Linear(decoder_dim, teacher_dim)
        self.temperature = temperature

    def forward(self, decoder: Tensor, teacher: Tensor, items: Tensor) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            decoder: first decoder state of each target `[batch, decoder_dim]`.
            teacher: the teacher's embeddings of the target items `[batch, teacher_dim]`.
            items: target items `[batch]`.
        """
        decoder = self.decoder_projection(decoder)
        return info_nce(decoder, teacher, items, self.temperature) + info_nce(
            teacher, decoder, items, self.temperature
        )
