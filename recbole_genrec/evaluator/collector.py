"""Collects what RecBole's metrics need, from dense scores or from lists of recommended items."""

from __future__ import annotations

from typing import NamedTuple

import torch
from recbole.evaluator import Collector
from recbole.utils import EvaluatorType
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.parallel.distributed import gather_rows

NO_ITEM = 0  # RecBole's padding item marks a place in a list that no item takes


class RankedItems(NamedTuple):
    """What a model recommends: `ids` `[batch, k]`, best first, and their `scores` `[batch, k]`."""

    ids: Tensor
    scores: Tensor


class GenRecCollector(Collector):
    """RecBole's Collector, in which only items that were really recommended count.

    An item that has the score -inf was not recommended: it is no hit and in no list. Neither is the
    padding item. Ranking metrics are computed from the top of each list, whether the model gave the
    list or scores of all items, so that both ways give the same numbers. What several processes
    have collected is put together before any metric is computed.
    """

    def __init__(self, config):
        super().__init__(config)
        self.needs_items = self.register.need("rec.items")
        self.needs_hits = self.register.need("rec.topk")
        for key in ("rec.items", "rec.topk"):  # collected here, not in the base class
            setattr(self.register, key, False)
        self._lists: list[Tensor] = []

    def beside(self) -> GenRecCollector:
        """Another one for the same evaluation, which knows of the data what this one knows."""
        other = GenRecCollector(self.config)
        other.data_struct._data_dict.update(self.data_struct._data_dict)
        return other

    def begin(self) -> None:
        """Forget what an evaluation has left that was broken off."""
        self._lists = []
        values = self.data_struct._data_dict
        for key in [key for key in values if key.startswith("rec.") or key == "data.label"]:
            del values[key]

    def data_collect(self, train_data) -> None:
        """What metrics need of the training part, such as the number of items."""
        super().data_collect(train_data)
        if "data.num_items" in self.data_struct:  # RecBole counts the padding item
            self.data_struct.set("data.num_items", self.data_struct.get("data.num_items") - 1)

    def eval_batch_collect(
        self,
        scores_tensor: Tensor | RankedItems,
        interaction,
        positive_u: Tensor,
        positive_i: Tensor,
    ) -> None:
        """Collect a batch.

        Args:
            scores_tensor: scores `[batch, n_items]`, or the ranked items of each user.
            interaction: the batch.
            positive_u: row of each positive item `[n_positives]`.
            positive_i: the positive items `[n_positives]`.

        Raises:
            InputError: when a score is NaN.
        """
        if self.config["eval_type"] == EvaluatorType.RANKING:
            given = scores_tensor
            ranked = given if isinstance(given, RankedItems) else self._rank(given)
            items = self._recommended(ranked)
            self._lists.append(items)
            if self.needs_items:
                self.data_struct.update_tensor("rec.items", items)
            if self.needs_hits:
                self.data_struct.update_tensor("rec.topk", _hits(items, positive_u, positive_i))
        if self.register.need("rec.meanrank") and isinstance(scores_tensor, Tensor):
            scores_tensor = _last_instead_of_none(scores_tensor, positive_u, positive_i)
        super().eval_batch_collect(scores_tensor, interaction, positive_u, positive_i)

    def get_data_struct(self):
        """All that metrics need, of all processes, on the CPU; batches are forgotten."""
        # The base class calls `.cpu()` on everything, also on counts.
        values = self.data_struct._data_dict
        others = {key: value for key, value in values.items() if not isinstance(value, Tensor)}
        for key in others:
            del values[key]
        struct = super().get_data_struct()
        for key, value in gather_rows(struct._data_dict).items():
            struct.set(key, value)
        for key, value in others.items():
            values[key] = value
            struct.set(key, value)
        return struct

    def take_lists(self) -> Tensor | None:
        """The lists collected since the last call `[rows, max(topk)]`, NO_ITEM in empty places."""
        lists, self._lists = self._lists, []
        return gather_rows({"lists": torch.cat(lists).cpu()} if lists else {}).get("lists")

    def _rank(self, scores: Tensor) -> RankedItems:
        top = torch.topk(scores, min(max(self.topk), scores.shape[1]), dim=-1)
        return RankedItems(top.indices, top.values)

    def _recommended(self, ranked: RankedItems) -> Tensor:
        """The first items of each user `[batch, max(topk)]`, NO_ITEM where there is none."""
        length = max(self.topk)
        ids, scores = ranked.ids[:, :length], ranked.scores[:, :length]
        if torch.isnan(scores).any():
            raise InputError("the model gives NaN as a score in evaluation: lower learning_rate")
        none = (scores == -torch.inf) | (ids <= 0)
        items = ids.masked_fill(none, NO_ITEM)
        return torch.nn.functional.pad(items, (0, length - items.shape[1]), value=NO_ITEM)


def _last_instead_of_none(scores: Tensor, positive_u: Tensor, positive_i: Tensor) -> Tensor:
    """Scores in which a positive item that is masked stands behind all others.

    RecBole's ranks count the items above -inf, and a positive one has to be among them.
    """
    scores, lowest = scores.clone(), torch.finfo(scores.dtype).min
    scores[positive_u, positive_i] = scores[positive_u, positive_i].clamp_min(lowest)
    return scores


def _hits(items: Tensor, positive_u: Tensor, positive_i: Tensor) -> Tensor:
    """RecBole's `rec.topk`: 1 where the item is positive, then the number of positives.

    Args:
        items: `[batch, k]`

    Returns:
        `[batch, k + 1]`
    """
    positives = torch.stack([positive_u, positive_i]).to(items.device).unique(dim=1)
    row, item = positives  # [n_positives]
    match = (items[row] == item[:, None]) & (items[row] != NO_ITEM)  # [n_positives, k]
    hits = torch.zeros_like(items).index_add_(0, row, match.to(items.dtype))
    number = torch.bincount(row, minlength=len(items))
    return torch.cat([hits, number[:, None]], dim=1).int()
