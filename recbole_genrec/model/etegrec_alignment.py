"""What ties the recommender and the tokenizer of ETEGRec: two alignments of a user with an item.

Reference: ETEGRec (arXiv 2409.05546), Section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recbole_genrec.loss.distillation import info_nce, tokenizer_distillation
from recbole_genrec.tokenizer.kmeans import relative_distances
from recbole_genrec.tokenizer.rqvae import RQVAE, mlp


class TokenizedItems(NamedTuple):
    """What the tokenizer makes of n items, with its two losses."""

    latents: Tensor
    """What is quantized `[n, code_dim]`."""
    reconstructions: Tensor
    """Embeddings decoded from the codes `[n, dim]`."""
    reconstruction_loss: Tensor
    quantization_loss: Tensor


class Alignment(nn.Module):
    r"""The weighted losses :math:`\mu \mathcal{L}_{SIA}` and :math:`\lambda \mathcal{L}_{PSA}`,
    those with a weight above 0.

    .. math::
        \mathcal{L}_{SIA} = \sum_l KL(P_l(z) \| P_l(z^E)) + KL(P_l(z^E) \| P_l(z)), \qquad
        \mathcal{L}_{PSA} = \mathrm{InfoNCE}(d, \tilde z) + \mathrm{InfoNCE}(\tilde z, d)

    Sequence-item alignment: the mean :math:`z^E` of the encoder states of a history is spread over
    the codes of each level as the latent :math:`z` of its target is (`log_code_probabilities`).
    Preference-semantic alignment: the first decoder state d and the reconstruction
    :math:`\tilde z` of the target find each other in the batch, by cosine. An adapter brings each
    state to the width of the item's side.

    Args:
        d_model: width of the encoder and decoder states.
        tokenizer: whose codes and reconstructions they are.
        config: weights, form, temperature and hidden layers of the adapters.
    """

    def __init__(self, d_model: int, tokenizer: RQVAE, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.sequence_weight = config["sequence_item_alignment_weight"]
        self.preference_weight = config["preference_semantic_alignment_weight"]
        self.released = config["sequence_item_alignment_form"] == "released"
        self.temperature = config["alignment_temperature"]
        hidden = config["alignment_hidden_sizes"] or []
        code_dim = tokenizer.codebooks[0].shape[1]
        self.sequence_adapter = mlp([d_model, *hidden, code_dim])
        self.preference_adapter = mlp([d_model, *hidden, tokenizer.dim])

    def forward(
        self,
        histories: Tensor,
        preferences: Tensor,
        targets: Tensor,
        tokenized: TokenizedItems,
        codebooks: Iterable[Tensor],
    ) -> list[Tensor]:
        """The weighted losses of a batch, scalars.

        Args:
            histories: encoder states averaged over each history `[n, d_model]`.
            preferences: first decoder state of each target `[n, d_model]`.
            targets: target items `[n]`; the first row of an item stands for all of its rows.
            tokenized: what the tokenizer makes of them.
            codebooks: L tensors `[K_l, code_dim]`.
        """
        losses = []
        with torch.autocast(histories.device.type, enabled=False):  # distances need all digits
            if self.sequence_weight:
                codebooks = list(codebooks)
                users = self.sequence_adapter(histories.float())
                log_p = log_code_probabilities(tokenized.latents, codebooks, self.released)
                log_q = log_code_probabilities(users, codebooks, self.released)
                reduction = "mean" if self.released else "sum"
                loss = tokenizer_distillation(log_p, log_q, targets, reduction)
                losses.append(self.sequence_weight * loss)
            if self.preference_weight:
                users, items = (
                    self.preference_adapter(preferences.float()),
                    tokenized.reconstructions,
                )
                loss = info_nce(users, items, targets, self.temperature)
                loss = loss + info_nce(items, users, targets, self.temperature)
                losses.append(self.preference_weight * loss)
        return losses


def log_code_probabilities(
    latents: Tensor, codebooks: Iterable[Tensor], released: bool = False
) -> list[Tensor]:
    r"""Log-probabilities `[n, K_l]` of the codes of each level for latents `[n, code_dim]`.

    .. math::
        P_l(k \mid v) = \mathrm{softmax}_k (- \| v_l - e_k \|^2)

    where :math:`v_l` is what the nearest codewords of the levels before have left of v.

    Args:
        latents: of items, or of histories.
        codebooks: L tensors `[K_l, code_dim]`.
        released: as in the released code, without the minus, and with gradients that reach the
            latent at the first level alone, at the others the codebook.
    """
    residual, levels = latents, []
    for codebook in codebooks:
        distances = relative_distances(residual, codebook)
        levels.append((distances if released else -distances).log_softmax(1))
        residual = residual - codebook[distances.argmin(1)]
        if released:
            residual = residual.detach()
    return levels
