r"""
RPG
################################################

Reference:
    Yupeng Hou et al. "Generating Long Semantic IDs in Parallel for Recommendation." in KDD 2025.

Reference code:
    https://github.com/facebookresearch/RPG_KDD2025
"""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.model.causal_transformer import STD
from recbole_genrec.model.item_graph import WalksItemGraph
from recbole_genrec.model.item_level_recommender import ItemLevelRecommender


class RPG(WalksItemGraph, ItemLevelRecommender):
    r"""All codes of the next item at once, from one state of the history.

    .. math::
        P_l(k \mid s) = \mathrm{softmax}_k \left( \cos(g_l(s), e_{lk}) / \tau \right),
        \qquad g_l(s) = s + \mathrm{SiLU}(W_l s)

    .. math::
        \mathcal{L} = - \frac{1}{L} \sum_{l=1}^{L} \log P_l(y_l \mid s)

    An item of the history is the mean of its code embeddings :math:`e`, and a causal transformer
    makes a state s after each item, so that one pass over a user's sequence trains all its targets.
    The score of an item is the mean of its L log-probabilities. It is exact for all items: log
    probabilities are computed once per code, and those of an item are gathered and summed. The
    release searches along a graph of items instead (`graph_edges`).
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        d, levels = config["hidden_size"], self.ids.num_levels
        self.temperature = config["code_temperature"]
        self.code_embedding = nn.Embedding(self.ids.vocab_size, d)
        self.heads = nn.Parameter(torch.zeros(levels, d, d))  # W_l
        self.transformer = self.new_transformer(config)
        nn.init.normal_(self.code_embedding.weight, std=STD)

    def vectors_of(self, items: Tensor) -> Tensor:
        """Means `[n, d]` of the code embeddings of items `[n]`."""
        return F.embedding_bag(self.labels(items), self.code_embedding.weight, mode="mean")

    def code_logits(self, states: Tensor) -> list[Tensor]:
        """Logits `[n, K_l]` of the codes of each level, from states `[n, d]`."""
        hidden = F.linear(states, self.heads.flatten(0, 1)).unflatten(1, (-1, states.shape[1]))
        heads = F.normalize(states.unsqueeze(1) + F.silu(hidden), dim=-1)  # [n, L, d]
        codes = F.normalize(self.code_embedding.weight[1:], dim=-1) / self.temperature
        levels = zip(heads.unbind(1), codes.split(self.ids.sizes), strict=True)
        return [F.linear(head, level) for head, level in levels]

    def calculate_loss(self, interaction: Interaction) -> Tensor | tuple[Tensor, Tensor]:
        states, targets = self.states(interaction), self.next_items(interaction)
        codes = self.ids.codes[targets.to(self.ids.codes.device)]  # [total_items, L]
        losses = [
            F.cross_entropy(own, codes[:, level])
            for level, own in enumerate(self.code_logits(states))
        ]
        loss = torch.stack(losses).mean()
        if not self.learns_additions:
            return loss
        return loss, self._loss_of_additions(states.detach(), interaction)

    def _loss_of_additions(self, states: Tensor, interaction: Interaction) -> Tensor:
        """Cross-entropy over items, by the probability of all codes, of the last targets.

        Only repeat bias, memory and text neighbors learn by it: codes say nothing of single items.
        """
        states, seen = self.last_states(interaction, states)
        targets = interaction[self.POS_ITEM_ID].to(states.device)
        with torch.no_grad():
            scores = self.scores_of(states)
        logits = self.add(scores, states, seen, targets) * self.ids.num_levels
        return F.cross_entropy(logits[:, 1:].float(), targets - 1)

    @torch.no_grad()
    def validation_loss(self, interaction: Interaction) -> Tensor:
        """Mean negative log-likelihood of the codes of the next items."""
        states, _ = self.last_states(interaction)
        return -self.scores_of(states).gather(1, interaction[self.ITEM_ID].unsqueeze(1)).mean()

    def scores_of(self, states: Tensor, items: Tensor | None = None) -> Tensor:
        log_probs = torch.cat(
            [level.float().log_softmax(-1) for level in self.code_logits(states)], 1
        )
        return self.sum_over_codes(log_probs, items) / self.ids.num_levels

    def parts_of_scores(self, states: Tensor, items: Tensor) -> dict[str, Tensor]:
        codes = self.ids.codes[items]  # [n, k, L]
        return {
            f"level {number}": own.float().log_softmax(-1).gather(1, level) / self.ids.num_levels
            for number, (own, level) in enumerate(
                zip(self.code_logits(states), codes.unbind(2), strict=True), 1
            )
        }
