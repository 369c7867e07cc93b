"""Sequential models that score every item, RecBole's, in the manner of those with semantic IDs."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor, nn

from recbole_genrec.errors import InputError
from recbole_genrec.items.items import Items
from recbole_genrec.model.parallel_recommender import best_items
from recbole_genrec.model.semantic_id_recommender import WIDTH


class ScoringModel(nn.Module):
    """What `Recommender` asks of a model, answered by the scores of all items.

    Args:
        scorer: a trained model.
        items: those that it was trained on.
    """

    score_name = "score"

    def __init__(self, scorer: SequentialRecommender, items: Items) -> None:
        super().__init__()
        self.scorer, self.items = scorer, items
        self.name = type(scorer).__name__
        self.device: torch.device = scorer.device
        self.max_seq_length: int = scorer.max_seq_length
        self.ITEM_SEQ: str = scorer.ITEM_SEQ
        self.ITEM_SEQ_LEN: str = scorer.ITEM_SEQ_LEN

    @torch.no_grad()
    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `SemanticIDRecommender.recommend`.

        Raises:
            InputError: if the model reads more than the items of a history.
        """
        try:
            scores = self.scorer.full_sort_predict(interaction)
        except (KeyError, NotImplementedError) as error:
            raise InputError(
                f"{self.name} needs more than the items of a history to score all items: {error}"
            ) from error
        return best_items(scores.view(len(interaction), -1), k, allowed)

    def explain(self, interaction: Interaction, items: Tensor) -> dict[str, Tensor]:
        """As `SemanticIDRecommender.explain`: never."""
        raise InputError(f"explain: the scores of {self.name} are no sum of parts")

    def search_width(self, number: int, num_allowed: int) -> int:
        """As `SemanticIDRecommender.search_width`."""
        return min(-(-number // WIDTH) * WIDTH, num_allowed)

    def width_to_mask(self, k: int, number: int) -> int:
        """As `SemanticIDRecommender.width_to_mask`."""
        return k + number

    def semantic_codes(self) -> dict[str, Tensor]:
        """None."""
        return {}
