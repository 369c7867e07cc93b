"""Collaborative distillation from a teacher's item embeddings, Section 3.4 of UniGRec.

Both losses see each target item once per batch. They work on all rows and mask the repeated ones,
so that shapes stay the same from batch to batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.errors import check_name
from recbole_genrec.loss.alignment import aligned_projection

# form of the distillation into the tokenizer -> its temperature, None for the tokenizer's own
TEMPERATURES = {"aligned": 0.05, "released": 1.0, "literal": None}


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
    log_p: Sequence[Tensor], log_q: Sequence[Tensor], items: Tensor, reduction: str = "sum"
) -> Tensor:
    """Eq. 18: symmetric KL over the levels, averaged over the distinct target items.

    Args:
        log_p, log_q: one tensor of log assignment probabilities `[batch, K_l]` per level.
        items: target items `[batch]`.
        reduction: "sum" over the levels as in the paper, or "mean" as in the released code.
    """
    divergence = sum(symmetric_kl(p, q) for p, q in zip(log_p, log_q, strict=True))  # [batch]
    distinct = first_occurrences(items)
    loss = torch.where(distinct, divergence, 0).sum() / distinct.sum()
    return loss / len(log_p) if reduction == "mean" else loss


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


class FixedLinear(nn.Module):
    """A linear layer that nothing trains but checkpoints keep.

    Args:
        weight: `[d_out, d_in]`
        bias: `[d_out]`
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, rows: Tensor) -> Tensor:
        return F.linear(rows, self.weight, self.bias)


def random_linear(d_in: int, d_out: int) -> FixedLinear:
    """As the released code initializes the maps that it never trains."""
    return FixedLinear(torch.randn(d_out, d_in) * 0.02, torch.zeros(d_out))


class TokenizerDistillation(nn.Module):
    r"""Eq. 18: the history and the target item as the teacher sees it get the same soft codes.

    The paper says that both sides go through a linear layer to the tokenizer's input, but not what
    keeps them from agreeing on one and the same code for all, at which the loss is least. The forms
    are readings of it:

    aligned     the teacher's layer is computed from the data and stays (`aligned_projection`), so
                that its items look to the tokenizer as items do; the encoder's layer is trained.
    released    both layers are random and stay, as in the released code, where no optimizer has
                them, and the temperature is 1. (That code goes past the MLP of the tokenizer and
                has the logits with the opposite sign, which is not copied.)
    literal     both layers are trained, at the temperature of the identifiers.

    Args:
        encoder_dim: width of the encoder states.
        teacher: the teacher's item embeddings `[n, teacher_dim]`.
        items: what the tokenizer reads of the same items `[n, tokenizer_dim]`.
        form: "aligned", "released" or "literal".
        temperature: tau of Eq. 14 in this loss; None for that of the form, see `TEMPERATURES`.
        reduction: "mean" or "sum" over the levels.
        stop_gradient: whether the teacher's branch does not train the tokenizer.

    Raises:
        InputError: for an unknown form, or embeddings from which no layer can be computed.
    """

    def __init__(
        self,
        encoder_dim: int,
        teacher: Tensor,
        items: Tensor,
        form: str = "aligned",
        temperature: float | None = None,
        reduction: str = "mean",
        stop_gradient: bool = False,
    ) -> None:
        super().__init__()
        check_name("tokenizer_distillation_form", form, TEMPERATURES)
        teacher_dim, tokenizer_dim = teacher.shape[1], items.shape[1]
        self.encoder_projection: nn.Module = nn.Linear(encoder_dim, tokenizer_dim)
        self.teacher_projection: nn.Module = nn.Linear(teacher_dim, tokenizer_dim)
        if form == "aligned":
            self.teacher_projection = FixedLinear(*aligned_projection(teacher, items))
        elif form == "released":
            self.encoder_projection = random_linear(encoder_dim, tokenizer_dim)
            self.teacher_projection = random_linear(teacher_dim, tokenizer_dim)
        self.temperature = TEMPERATURES[form] if temperature is None else temperature
        self.reduction = reduction
        self.stop_gradient = stop_gradient

    def forward(
        self,
        history: Tensor,
        teacher: Tensor,
        items: Tensor,
        log_assignments: Callable[[Tensor, float | None], Sequence[Tensor]],
    ) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            history: encoder states averaged over each history `[batch, encoder_dim]`.
            teacher: the teacher's embeddings of the target items `[batch, teacher_dim]`.
            items: target items `[batch]`.
            log_assignments: the tokenizer, from inputs `[batch, tokenizer_dim]` and a temperature
                (None for its own) to the log assignment probabilities `[batch, K_l]` of each level
                (Eq. 14).
        """
        log_p = log_assignments(self.encoder_projection(history), self.temperature)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.stop_gradient):
            log_q = log_assignments(self.teacher_projection(teacher), self.temperature)
        return tokenizer_distillation(log_p, log_q, items, self.reduction)


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
