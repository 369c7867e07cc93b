"""IGD: emphasis on tokens that decide which item it is (Lin et al., arXiv 2506.13229)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from recbole_genrec.loss.context import LossContext
from recbole_genrec.loss.cross_entropy import CrossEntropyLoss
from recbole_genrec.tokenizer.prefixes import entropies, find_nodes, prefix_nodes


class IGDLoss(CrossEntropyLoss):
    """Weighted mean of the token likelihoods: a token without information gain weighs little.

    The gain of a token after its prefix is the drop of the entropy of the item popularity. Tokens
    with a positive gain weigh 1, all others `floor` (for example the last token of an item whose
    prefix is already its own). As in the released code of the token-weighting paper, the loss of a
    batch is divided by the sum of its weights. Popularity counts the targets of training alone; in
    that code it counts all interactions, those of the test included.
    """

    prefix_keys: Tensor
    prefix_weights: Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.floor = config["igd_weight"]

    def set_context(self, context: LossContext) -> None:
        self.vocab_size = context.vocab_size
        keys, nodes = prefix_nodes(context.tokens[1:], context.vocab_size)
        entropy = entropies(nodes, context.target_counts[1:].to(nodes.device))
        parents = torch.cat([keys.new_zeros(1), keys // context.vocab_size])  # [n_nodes]
        decisive = entropy[parents] - entropy > 1e-9  # rounding is no gain
        self._set_weights("prefix_keys", keys)
        self._set_weights("prefix_weights", torch.where(decisive, 1.0, self.floor))

    def token_weights(self, labels: Tensor) -> Tensor:
        weights = self.prefix_weights[find_nodes(self.prefix_keys, labels, self.vocab_size)]
        return weights / weights.mean()
