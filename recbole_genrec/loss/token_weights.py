"""Token weights by information gain, Section 4.1 of the token-weighted multi-target paper.

"Token-Weighted Multi-Target Learning for Generative Recommenders with
Curriculum Learning", arXiv 2601.17787.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_genrec.errors import InputError, check_number
from recbole_genrec.tokenizer.prefixes import dispersion, prefix_groups

FRONT_GREATER_FORMS = ("paper", "released")


def front_greater_weights(tokens: Tensor, embeddings: Tensor, form: str = "paper") -> Tensor:
    r"""Weight of each level by the drop of dispersion that its token brings (Section 4.1.1).

    With :math:`\delta_k = \mu_{k-1} - \mu_k`, form "paper" weighs level k in proportion to
    :math:`\max(\delta_k, 0)`. Form "released" is what the authors' code does: distances instead of
    squared distances and :math:`\log(1 + \max(\delta_k, 0))`.

    Args:
        tokens: semantic IDs `[n, L]`, without a padding row.
        embeddings: the item embeddings `[n, d]`.

    Returns:
        `[L]`, sum L, float64

    Raises:
        InputError: if the form is unknown or the embeddings do not tell any two items apart.
    """
    if form not in FRONT_GREATER_FORMS:
        raise InputError(
            f"front_greater_form [{form}] should be one of {', '.join(FRONT_GREATER_FORMS)}"
        )
    spread = dispersion(prefix_groups(tokens), embeddings, squared=form == "paper")
    gain = (spread[:-1] - spread[1:]).clamp(min=0)
    if form == "released":
        gain = gain.log1p()
    total = gain.sum()
    if not (torch.isfinite(total) and total > 0):
        raise InputError(
            "front-greater weights need item embeddings that are finite and differ between items: "
            f"the dispersion per prefix length is {spread.tolist()}"
        )
    return gain * (len(gain) / total)


def effective_number(counts: Tensor, beta: float = 0.99) -> Tensor:
    r"""Effective number of samples :math:`E_n = (1 - \beta^n) / (1 - \beta)`, float64 (4.1.2)."""
    return (1 - beta ** counts.double()) / (1 - beta)


def frequency_weights(
    tokens: Tensor, target_counts: Tensor, vocab_size: int, beta: float = 0.99
) -> Tensor:
    r"""Unnormalised weight :math:`1 / E_n` of each token of the vocabulary (Section 4.1.2).

    n counts the token among the targets of training. A token that is never a training target can
    only be met in a validation loss; it gets the weight of a token seen once, the highest.

    Args:
        tokens: semantic IDs `[n, L]`; a token belongs to one level.
        target_counts: how often each item is a target of training `[n]`.

    Returns:
        `[vocab_size]`, float64, in (1 - beta, 1]

    Raises:
        InputError: if beta is not between 0 and 1.
    """
    check_number("frequency_beta", beta, low=0, high=1, open=True)
    counts = target_counts.new_zeros(vocab_size)
    counts.index_add_(0, tokens.flatten(), target_counts.repeat_interleave(tokens.shape[1]))
    return 1 / effective_number(counts.clamp(min=1), beta)


def normalize_per_target(weights: Tensor) -> Tensor:
    """Scale the weights of each target `[batch, L]` to sum L."""
    return weights * (weights.shape[-1] / weights.sum(dim=-1, keepdim=True))
