"""Small losses beside the softmax over items, for item-level models."""

from __future__ import annotations

from collections.abc import Callable
from logging import getLogger

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.errors import refuse
from recbole_genrec.loss import LossContext, build_loss, loss_without_data
from recbole_genrec.loss.distillation import RecommenderDistillation, info_nce

WEIGHTS = ("contrast_weight", "code_loss_weight", "recommender_distillation_weight")


def check_auxiliary(config) -> None:
    """Warn of a `loss` without a weight, and refuse one that the loss over codes cannot take."""
    name = config["loss"]
    if not config["code_loss_weight"]:
        if name.lower() != "cross_entropy":
            getLogger().warning(f"loss [{name}] is not used, as code_loss_weight is 0")
    elif not loss_without_data(config).only_weighs_tokens:
        expected = "one that only weighs tokens, without scaled_logits, for the loss over codes"
        refuse("loss", expected, name)


class AuxiliaryLosses(nn.Module):
    r"""Up to three terms, each with a weight; 0 leaves it out.

    `contrast_weight`: InfoNCE of the states after whole histories in two passes, which differ by
    their dropout (the unsupervised contrast of DuoRec: Qiu et al., WSDM 2022).

    `code_loss_weight`: cross-entropy over the codes of each level, their logits being products of
    state and code vectors, and the tokens weighted by `loss`:

    .. math::
        - \frac{1}{L} \sum_{l=1}^{L} w_l \log \mathrm{softmax}_k (s^\top e_{lk})_{k = c_l}

    `recommender_distillation_weight`: states and a teacher's vectors of the targets find each
    other (UniGRec, arXiv 2601.17438, Eq. 20).

    Args:
        config: the weights and temperatures.
        hidden_size: of the states.
        context: what token weights are computed from.
        teacher: the teacher's item vectors `[n_items, d_teacher]`, where its term has a weight.
    """

    teacher: Tensor

    def __init__(
        self, config, hidden_size: int, context: LossContext, teacher: Tensor | None
    ) -> None:
        super().__init__()
        self.contrast_weight, self.code_weight, self.teacher_weight = (
            config[weight] for weight in WEIGHTS
        )
        self.temperature = config["contrast_temperature"]
        self.sizes = context.codebook_sizes
        self.weighted = build_loss(config, context) if self.code_weight else None
        self.distillation = None
        if self.teacher_weight and teacher is not None:
            self.register_buffer("teacher", teacher.float(), persistent=False)
            self.distillation = RecommenderDistillation(
                hidden_size, teacher.shape[1], config["distillation_temperature"]
            )

    def forward(
        self,
        states: Tensor,
        targets: Tensor,
        last: Tensor,
        again: Callable[[], Tensor],
        code_vectors: Tensor | None,
        tokens: Tensor,
    ) -> list[Tensor]:
        """The weighted terms of a batch, scalars.

        Args:
            states: before each target `[n, d]`.
            targets: the items `[n]`.
            last: the rows of the states after whole histories `[batch]`.
            again: gives the states of another pass `[n, d]`.
            code_vectors: of all tokens `[vocab_size, d]`.
            tokens: of the targets `[n, L]`.
        """
        losses = []
        if self.contrast_weight:
            pair = states[last], again()[last]
            contrast = info_nce(*pair, targets[last], self.temperature)
            losses.append(self.contrast_weight * contrast)
        if self.weighted is not None and code_vectors is not None:
            nll = self._over_codes(states, code_vectors, tokens)  # [n, L]
            weights = self.weighted.token_weights(tokens)
            nll = nll if weights is None else nll * weights
            losses.append(self.code_weight * nll.mean())
        if self.distillation is not None:
            loss = self.distillation(states, self.teacher[targets], targets)
            losses.append(self.teacher_weight * loss)
        return losses

    def on_step_end(self) -> None:
        """To be called after each optimizer step."""
        if self.weighted is not None:
            self.weighted.on_step_end()

    def _over_codes(self, states: Tensor, vectors: Tensor, tokens: Tensor) -> Tensor:
        losses, first = [], 1
        for size, level in zip(self.sizes, tokens.unbind(1), strict=True):
            logits = F.linear(states, vectors[first : first + size]).float()
            losses.append(F.cross_entropy(logits, level - first, reduction="none"))
            first += size
        return torch.stack(losses, 1)
