"""The base of models that score every item at once instead of writing codes."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_genrec.model.semantic_id_recommender import SemanticIDRecommender


class ParallelRecommender(SemanticIDRecommender):
    """Ranks all items exactly, by scores from their codes and vectors.

    A subclass writes `item_scores` and `calculate_loss`.
    """

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

    @torch.no_grad()
    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Arguments and result as in `SemanticIDRecommender.recommend`.

        Items with equal scores stand in the order of their ids.
        """
        scores = self.full_sort_predict(interaction)
        ids = torch.arange(1, self.n_items) if allowed is None else allowed.sort().values
        ids = ids.to(scores.device)
        ranked = scores[:, ids].sort(dim=1, descending=True, stable=True)
        items, scores = ids[ranked.indices[:, :k]], ranked.values[:, :k]
        missing = (0, k - items.shape[1])
        return (
            torch.nn.functional.pad(items, missing),
            torch.nn.functional.pad(scores, missing, value=-torch.inf),
        )
