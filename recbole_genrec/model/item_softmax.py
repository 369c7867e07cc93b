"""Cross-entropy over items that are too many to be scored at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from recbole_genrec.model.sparse_scores import SparseScores

ALL = 100_000  # items up to which a softmax is over all of them, unless a setting says otherwise
DRAWS = 8192
SCORES = 2**26  # that are held at a time


def number_of_draws(setting: int | str, n_items: int) -> int:
    """How many items the softmax of a step is over, by `sampled_items`; 0 for all of them."""
    if setting == "auto":
        return DRAWS if n_items - 1 > ALL else 0
    return int(setting)


def mean_in_chunks(
    loss: Callable[..., Tensor], rows: int, per_target: Sequence[Tensor], shared: Sequence[Tensor]
) -> Tensor:
    """The mean loss of all targets, of which at most `rows` are at work at a time.

    What a chunk needs for its gradients is computed again when they are, and not kept.

    Args:
        loss: sum of the losses of some targets, from their rows of `per_target` and from `shared`.
        rows: of a chunk.
        per_target: tensors with a row for each target.
        shared: tensors that all targets need.
    """
    number = len(per_target[0])
    if number <= rows:
        return loss(*per_target, *shared) / number
    chunks = zip(*(each.split(rows) for each in per_target), strict=True)
    losses = [checkpoint(loss, *chunk, *shared, use_reentrant=False) for chunk in chunks]
    return torch.stack(losses).sum() / number


class ItemSampler(nn.Module):
    r"""Draws the items of a sampled softmax, each with a probability q by how often it is a target.

    .. math::
        q_i \propto 1 + n_i, \qquad
        \sum_{i} e^{s_i} \approx \sum_{i \in S} e^{s_i + \log k_i - \log (|S| q_i)}

    where item i was drawn :math:`k_i` times for S. The correction by the logarithm of q makes the
    estimate of the sum unbiased; without it popular items would be scored too low.

    Args:
        counts: how often each item is a target in training `[n_items]`, row 0 = padding.
        number: of draws, with replacement.
    """

    cumulative: Tensor

    def __init__(self, counts: Tensor, number: int) -> None:
        super().__init__()
        self.number = number
        share = (counts[1:] + 1).double()
        self.register_buffer("cumulative", (share / share.sum()).cumsum(0), persistent=False)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Items `[m]`, each once, and what to add to their scores `[m]`."""
        random = torch.rand(self.number, dtype=torch.double, device=self.cumulative.device)
        drawn = torch.searchsorted(self.cumulative, random, right=True)
        rows, times = drawn.clamp(max=len(self.cumulative) - 1).unique(return_counts=True)
        share = F.pad(self.cumulative, (1, 0)).diff()[rows]
        return rows + 1, (times / (self.number * share)).log().float()


def sampled_softmax_loss(
    states: Tensor,
    target_vectors: Tensor,
    targets: Tensor,
    vectors: Tensor,
    items: Tensor,
    log_weights: Tensor,
    columns: Tensor,
    additions: SparseScores | None,
) -> Tensor:
    """Sum of the losses of n targets among m items, each target being one of its choices.

    Args:
        states: `[n, d]`.
        target_vectors: of the targets `[n, d]`.
        targets: their ids `[n]`.
        vectors: of the items that were drawn `[m, d]`.
        items: their ids `[m]`.
        log_weights: see `ItemSampler.draw` `[m]`.
        columns: the place of each item of the catalogue in `items` `[n_items]`, -1 for none.
        additions: to the scores of single items.
    """
    logits = F.linear(states, vectors).float()
    own = (states * target_vectors).sum(1, keepdim=True).float()  # [n, 1]
    if additions is not None:
        logits = additions.add_to(logits, columns)
        own = own + additions.of(targets.unsqueeze(1))
    logits = (logits + log_weights).masked_fill(items == targets.unsqueeze(1), -torch.inf)
    return (torch.cat([own, logits], 1).logsumexp(1) - own.squeeze(1)).sum()
