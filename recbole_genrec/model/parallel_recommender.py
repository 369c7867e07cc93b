"""The base of models that score every item at once instead of writing codes."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn import functional as F

from recbole_genrec.model.semantic_id_recommender import SemanticIDRecommender


class ParallelRecommender(SemanticIDRecommender):
    """Ranks all items exactly, by scores from their codes and vectors.

    A subclass writes `item_scores` and `calculate_loss`.
    """

    scores_all_items = True

    def item_scores(self, interaction: Interaction) -> Tensor:
        """Scores `[batch, n_items]` of all items after each history, that of the padding item too.

        Higher is better; the difference of two scores is all that counts.
        """
        raise NotImplementedError

    def predict(self, interaction: Interaction) -> Tensor:
        """Score of each given item after its history, `[batch]`."""
        scores = self.item_scores(interaction)
        return scores.gather(1, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores `[batch, n_items]`; the padding item has -inf."""
        scores = self.item_scores(interaction)
        scores[:, 0] = -torch.inf
        return scores

    def sum_over_codes(self, values: Tensor, items: Tensor | None = None) -> Tensor:
        """Sums `[batch, m]` over the codes of each item, 0 for the padding item.

        No vector per item is made on the way, and the rows of a batch go side by side.

        Args:
            values: one for each code, level after level `[batch, sum of the codebook sizes]`.
            items: `[m]`, all by default.
        """
        per_token = F.pad(values, (1, 0)).t().contiguous()  # [vocab_size, batch]
        tokens = self.ids.tokens if items is None else self.ids.tokens[items]
        return F.embedding_bag(tokens, per_token, mode="sum").t().contiguous()

    @torch.no_grad()
    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Arguments and result as in `SemanticIDRecommender.recommend`.

        Items with equal scores stand in the order of their ids.
        """
        return best_items(self.full_sort_predict(interaction), k, allowed)


def best_items(scores: Tensor, k: int, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The k best items by scores `[batch, n_items]` of all, as `recommend` returns them."""
    ids = torch.arange(1, scores.shape[1]) if allowed is None else allowed.sort().values
    ids = ids.to(scores.device)
    places, scores = best(scores[:, 1:] if allowed is None else scores[:, ids], k)
    missing = (0, k - places.shape[1])
    found = ids[places].masked_fill(scores == -torch.inf, 0)
    return F.pad(found, missing), F.pad(scores, missing, value=-torch.inf)


def best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Columns of the k highest scores of each row, or of all if there are fewer, and the scores.

    Equal scores stand in the order of their columns.

    Args:
        scores: `[n, m]`.

    Returns:
        `[n, min(k, m)]` each, highest first.
    """
    k = min(k, scores.shape[1])
    columns = scores.topk(k).indices.sort().values
    found = scores.gather(1, columns)
    lowest = found.amin(1, keepdim=True)
    chosen_among_equals = (scores == lowest).sum(1) > (found == lowest).sum(1)
    if chosen_among_equals.any():
        whole = scores[chosen_among_equals].sort(dim=1, descending=True, stable=True)
        columns[chosen_among_equals] = whole.indices[:, :k].sort().values
        found = scores.gather(1, columns)
    order = found.sort(dim=1, descending=True, stable=True)
    return columns.gather(1, order.indices), order.values
