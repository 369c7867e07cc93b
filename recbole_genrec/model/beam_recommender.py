"""The base of models that find items by beam search, without a score for every item."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_genrec.model.semantic_id_recommender import SemanticIDRecommender


class BeamRecommender(SemanticIDRecommender):
    """A model whose `recommend` searches with `beam_size` beams.

    Attributes:
        beam_size: number of beams.
        valid_beam_size: that of validation in training.
    """

    def __init__(self, config, dataset) -> None:
        super().__init__(config, dataset)
        self.beam_size = config["beam_size"]
        self.valid_beam_size = config["valid_beam_size"] or self.beam_size

    @property
    def list_size(self) -> int:
        """Number of items that a search lists at least; a shorter list is the head of that one."""
        return self.beam_size

    def search_width(self, number: int, num_allowed: int) -> int:
        """Whole multiples of `list_size`."""
        return min(-(-number // self.list_size) * self.list_size, num_allowed)

    def width_to_mask(self, k: int, number: int) -> int:
        """As many more beams as there are items to take out.

        Of the prefixes kept at a level, at most `number` lead to these alone: what is left holds
        whatever a search among the other items would keep with the usual beams.
        """
        return max(k, self.list_size) + number

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Search with `valid_beam_size` inside."""
        beams, self.beam_size = self.beam_size, self.valid_beam_size
        try:
            yield
        finally:
            self.beam_size = beams

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores `[batch, n_items]`; items that the search does not list have -inf."""
        items, scores = self.recommend(interaction, self.list_size)
        all_scores = scores.new_full((len(items), self.n_items), -torch.inf)
        return all_scores.scatter_(1, items, scores)
