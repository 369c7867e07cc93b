r"""
RPG
################################################

Reference:
    Yupeng Hou et al. "Generating Long Semantic IDs in Parallel for Recommendation." in KDD 2025.

Reference code:
    https://github.com/facebookresearch/RPG_KDD2025
"""

from __future__ import annotations

from pathlib import Path

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.errors import refuse
from recbole_genrec.model.causal_transformer import STD, CausalTransformer
from recbole_genrec.model.export import export_vectors
from recbole_genrec.model.parallel_recommender import ParallelRecommender


class RPG(ParallelRecommender):
    r"""All codes of the next item at once, from one state of the history.

    .. math::
        P_l(k \mid s) = \mathrm{softmax}_k \left( \cos(g_l(s), e_{lk}) / \tau \right),
        \qquad g_l(s) = s + \mathrm{SiLU}(W_l s)

    .. math::
        \mathcal{L} = - \frac{1}{L} \sum_{l=1}^{L} \log P_l(y_l \mid s)

    An item of the history is the mean of its code embeddings :math:`e`, and a causal transformer
    makes a state s after each item, so that one pass over a user's sequence trains all its targets.
    The score of an item is the mean of its L log-probabilities. It is exact for all items: log
    probabilities are computed once per code, and those of an item are gathered and summed.
    """

    takes_host_batches = True

    @classmethod
    def check_config(cls, config) -> None:
        width, heads = config["hidden_size"], config["n_heads"]
        if width % heads:
            refuse("hidden_size", f"a multiple of n_heads [{heads}]", width)

    @classmethod
    def one_pass(cls, config) -> bool:
        return True

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        d, levels = config["hidden_size"], self.ids.num_levels
        self.temperature = config["code_temperature"]
        self.code_embedding = nn.Embedding(self.ids.vocab_size, d)
        self.heads = nn.Parameter(torch.zeros(levels, d, d))  # W_l
        self.transformer = CausalTransformer(
            d,
            config["n_layers"],
            config["n_heads"],
            config["inner_size"],
            self.max_seq_length,
            config["embedding_dropout_prob"],
            config["attn_dropout_prob"],
            config["hidden_dropout_prob"],
        )
        nn.init.normal_(self.code_embedding.weight, std=STD)

    def item_vectors(self, items: Tensor) -> Tensor:
        """Means `[n, d]` of the code embeddings of items `[n]`."""
        return F.embedding_bag(self.labels(items), self.code_embedding.weight, mode="mean")

    def states(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """The state after each item of the histories `[total_items, d]`, and their `lengths`."""
        items, lengths = self.history_items(interaction)
        return self.transformer(self.item_vectors(items), lengths), lengths

    def code_logits(self, states: Tensor) -> list[Tensor]:
        """Logits `[n, K_l]` of the codes of each level, from states `[n, d]`."""
        hidden = F.linear(states, self.heads.flatten(0, 1)).unflatten(1, (-1, states.shape[1]))
        heads = F.normalize(states.unsqueeze(1) + F.silu(hidden), dim=-1)  # [n, L, d]
        codes = F.normalize(self.code_embedding.weight[1:], dim=-1) / self.temperature
        levels = zip(heads.unbind(1), codes.split(self.ids.sizes), strict=True)
        return [F.linear(head, level) for head, level in levels]

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        logits = self.code_logits(self.states(interaction)[0])
        targets = self.next_items(interaction)
        codes = self.ids.codes[targets.to(self.ids.codes.device)]  # [total_items, L]
        losses = [F.cross_entropy(own, codes[:, level]) for level, own in enumerate(logits)]
        return torch.stack(losses).mean()

    def item_scores(self, interaction: Interaction) -> Tensor:
        states, lengths = self.states(interaction)
        logits = self.code_logits(states[(lengths.cumsum(0) - 1).to(states.device)])
        log_probs = torch.cat([level.float().log_softmax(-1) for level in logits], 1)
        return self.sum_over_codes(log_probs) / self.ids.num_levels

    def export(self, folder: Path) -> None:
        export_vectors(self.item_vectors(torch.arange(self.n_items)), folder)
