"""RPG's search as released: a walk along a graph of items whose codes are alike.

Reference code:
    https://github.com/facebookresearch/RPG_KDD2025
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.decoding.graph_walk import graph_walk
from recbole_genrec.errors import refuse
from recbole_genrec.model.parallel_recommender import ParallelRecommender, best_items

CHUNK = 1024  # items whose similarities to all others are held at a time


class WalksItemGraph(ParallelRecommender):
    r"""With `graph_edges` only those items have a score that a walk has found.

    An item leads to those most similar to it (itself is the first), where

    .. math::
        \mathrm{sim}(i, j) = \frac{1}{L} \sum_{l=1}^{L} \cos(e_{l, c_l(i)}, e_{l, c_l(j)})

    The walk starts from `graph_beams` random items and keeps as many after each of `graph_steps`
    steps. As released, validation in training is exact all the same; the release draws other items
    for every user, here all start from the same, so that nobody's list depends on the batch. It is
    there to repeat the release: scores of all items come first, so that exact lists cost less.

    Attributes:
        code_embedding: of the codes `[vocab_size, d]`.
    """

    code_embedding: nn.Embedding

    @classmethod
    def check_config(cls, config) -> None:
        super().check_config(config)
        longest, edges = max(config["topk"]), config["graph_edges"]
        if edges and config["graph_beams"] < longest:
            refuse("graph_beams", f"at least max(topk) [{longest}]", config["graph_beams"])
        if edges and "gauc" in map(str.lower, config["metrics"]):
            refuse("graph_edges", "0 with GAUC, which needs the rank of every item", edges)

    def __init__(self, config, dataset) -> None:
        super().__init__(config, dataset)
        self.edges, self.steps = config["graph_edges"], config["graph_steps"]
        self.beams, self.seed = config["graph_beams"], config["seed"]
        self.scores_all_items = not self.edges
        self._graph: Tensor | None = None
        self.ids.on_change(self._forget_graph)
        self.register_load_state_dict_pre_hook(WalksItemGraph._forget_graph)

    def _forget_graph(self, *_) -> None:
        self._graph = None

    def train(self, mode: bool = True) -> WalksItemGraph:
        self._forget_graph()
        return super().train(mode)

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Exact scores inside."""
        edges, self.edges = self.edges, 0
        try:
            with super().validating():
                yield
        finally:
            self.edges = edges

    def width_to_mask(self, k: int, number: int) -> int:
        """As many more beams as there are items to take out."""
        return (max(k, self.beams) if self.edges else k) + number

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores `[batch, n_items]`; -inf of what the walk has not found."""
        scores = super().full_sort_predict(interaction)
        return self._found(scores, self.beams) if self.edges else scores

    @torch.no_grad()
    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As of any model; where k exceeds `graph_beams`, the walk has k beams. Of the items that
        are `allowed` none is missed, as there is no walk."""
        if not self.edges:
            return super().recommend(interaction, k, allowed)
        scores = super().full_sort_predict(interaction)
        if allowed is None:
            scores = self._found(scores, max(k, self.beams))
        return best_items(scores, k, allowed)

    def _found(self, scores: Tensor, beams: int) -> Tensor:
        """The scores `[batch, n_items]` of what a walk finds; -inf of all else."""
        generator = torch.Generator().manual_seed(self.seed)
        start = torch.randint(1, self.n_items, (beams,), generator=generator)
        items = graph_walk(scores, self.graph(), start.to(scores.device), self.steps)
        found = torch.full_like(scores, -torch.inf)
        return found.scatter_(1, items, scores.gather(1, items))

    @torch.no_grad()
    def graph(self) -> Tensor:
        """The items that each item leads to `[n_items, graph_edges]`, kept until weights change."""
        if self._graph is None or self._graph.device != self.ids.tokens.device:
            codes = F.normalize(self.code_embedding.weight[1:], dim=-1).split(self.ids.sizes)
            cosines = [level @ level.T for level in codes]  # [K_l, K_l]
            chunks = self.ids.codes.split(CHUNK)
            self._graph = torch.cat([self._nearest(chunk, cosines) for chunk in chunks])
        return self._graph

    def _nearest(self, codes: Tensor, cosines: list[Tensor]) -> Tensor:
        """The items most similar to those with these codes `[n, L]`, most similar first."""
        to_codes = [cosine[own] for cosine, own in zip(cosines, codes.unbind(1), strict=True)]
        similarity = self.sum_over_codes(torch.cat(to_codes, 1))  # [n, n_items]
        similarity[:, 0] = -torch.inf  # the padding item
        return similarity.topk(min(self.edges, self.n_items - 1)).indices
