r"""
TransitionGraph
################################################

Reference:
    arXiv 2605.07125, whose training-free baseline it is, by its description.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.items.needs import TEXT, Embeddings, Need
from recbole_genrec.model.histories import last_items_first
from recbole_genrec.model.hooks import ModelHooks


class TransitionGraph(ModelHooks, SequentialRecommender):
    r"""Walks from the last items of a history along the transitions of training; learns nothing.

    An item is in ring r of a history if r steps along the graph are the fewest that lead to it from
    one of the last `num_anchors` items. Within a ring items rank by

    .. math::
        \cos(t_i, t_a) + w \, \frac{\log(1 + n_i)}{\max_j \log(1 + n_j)}

    where t are text embeddings, that of the anchors their mean, n is the number of walks of r steps
    that lead to an item (in ring 1 the number of transitions), and j runs over the items of the
    ring. Of every ten places of a list the rings get seven, two and one (`ring_places`), and later
    rings those that an earlier one cannot fill. All other items follow by their texts.
    """

    input_type = InputType.POINTWISE

    @classmethod
    def needs(cls, config) -> Sequence[Need]:
        return (Embeddings(TEXT),)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        if dataset.items is None:
            raise InputError(
                "TransitionGraph needs a data set with item embeddings: load it with "
                "recbole_genrec.quick_start.prepare_data, or call run_recbole_genrec"
            )
        self.num_anchors = config["num_anchors"]
        self.count_weight = config["count_weight"]
        self.ring_places = config["ring_places"]
        self.nothing = nn.Parameter(torch.zeros(()))  # for the optimizer
        texts = F.normalize(dataset.items.embeddings[TEXT].vectors.float(), dim=-1)
        self.register_buffer("texts", texts, persistent=False)  # [n_items, d]
        self.register_buffer("transitions", self.count_transitions(dataset), persistent=False)

    def count_transitions(self, dataset) -> Tensor:
        """How often each item follows each other one in training: sparse `[n_items, n_items]`.

        Rows are the items that follow, columns those before.
        """
        before, after = dataset.transitions()
        both, ones = torch.stack([after, before]), torch.ones(len(after))
        shape = self.n_items, self.n_items
        return torch.sparse_coo_tensor(both, ones, shape, check_invariants=False).coalesce()

    def rings(self, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """The ring of each item, 0 for the anchors and -1 for what no ring reaches, and its share
        of the walks on the scale of its ring, 0 to 1; both `[batch, n_items]`."""
        walks = self.texts.new_zeros(len(anchors), self.n_items).scatter_(1, anchors, 1.0)
        walks[:, 0] = 0  # of anchors that are not there
        ring, share = walks.long() - 1, torch.zeros_like(walks)
        for number in range(1, len(self.ring_places) + 1):
            walks = torch.sparse.mm(self.transitions, walks.t()).t()
            inside = (walks > 0) & (ring < 0)
            logs = walks.log1p().where(inside, 0)
            share += logs / logs.amax(1, keepdim=True).clamp_min(1e-9)
            ring[inside] = number
        return ring, share

    def places(self, ring: Tensor, score: Tensor) -> Tensor:
        """The place of each item in an endless list `[batch, n_items]`, of which some stay empty.

        Args:
            ring: of each item `[batch, n_items]`.
            score: that items of a ring, and those outside, are ordered by.
        """
        order = score.argsort(dim=1, descending=True, stable=True)
        ring = ring.gather(1, order)
        period, first = sum(self.ring_places), 0
        outside = (ring < 1).cumsum(1) + self.n_items * period
        place = outside + self.n_items * (ring == 0)  # the anchors themselves come last
        for number, places in enumerate(self.ring_places, 1):
            rank = (ring == number).cumsum(1) - 1
            own = rank // places * period + first + rank % places
            place = torch.where(ring == number, own, place)
            first += places
        return torch.empty_like(place).scatter_(1, order, place)

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores `[batch, n_items]`: the places of the items, negative, as 64-bit floats."""
        histories = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        anchors = last_items_first(*histories)[:, : self.num_anchors]
        ring, share = self.rings(anchors)
        mean = F.normalize(self.texts[anchors].sum(1), dim=-1)
        similarity = mean @ self.texts.t()
        scores = -self.places(ring, similarity + self.count_weight * share).double()
        scores[:, 0] = -torch.inf
        return scores

    def predict(self, interaction: Interaction) -> Tensor:
        scores = self.full_sort_predict(interaction)
        return scores.gather(1, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """0: there is nothing to learn."""
        return self.nothing * 0
