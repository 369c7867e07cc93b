r"""
SASRecOnePass
################################################

Reference:
    Wang-Cheng Kang et al. "Self-Attentive Sequential Recommendation." in ICDM 2018.
"""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from recbole.model.sequential_recommender.sasrec import SASRec
from torch import Tensor
from torch.nn import functional as F

from recbole_genrec.errors import refuse
from recbole_genrec.model.histories import next_items
from recbole_genrec.model.hooks import ModelHooks
from recbole_genrec.model.item_softmax import SCORES, mean_in_chunks


class SASRecOnePass(ModelHooks, SASRec):
    """RecBole's SASRec, of which one pass over a sequence trains a target after each item.

    That is how its authors train it. RecBole makes a sample of every prefix of a sequence, of which
    each computes the states of all its items again; a prefix has the same scores in both.
    """

    @classmethod
    def check_config(cls, config) -> None:
        super().check_config(config)
        if config["loss_type"] != "CE":
            refuse("loss_type", "CE, the one for all targets of a pass", config["loss_type"])

    @classmethod
    def one_pass(cls, config) -> bool:
        return True

    def num_targets(self, interaction: Interaction) -> Tensor:
        return interaction[self.ITEM_SEQ_LEN].sum()

    def states(self, item_seq: Tensor) -> Tensor:
        """The state after each item of the histories `[batch, length]`: `[batch, length, d]`."""
        places = torch.arange(item_seq.shape[1], device=item_seq.device)
        inputs = self.item_embedding(item_seq) + self.position_embedding(places)
        inputs = self.dropout(self.LayerNorm(inputs))
        return self.trm_encoder(inputs, self.get_attention_mask(item_seq))[-1]

    def logits(self, states: Tensor) -> Tensor:
        """Of all items `[n, n_items]` in each of some states `[n, d]`."""
        return F.linear(states, self.item_embedding.weight)

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        lengths = interaction[self.ITEM_SEQ_LEN]
        item_seq = interaction[self.ITEM_SEQ][:, : lengths.max()]
        present = torch.arange(item_seq.shape[1], device=lengths.device) < lengths.unsqueeze(1)
        items = item_seq[present]
        targets = next_items(items, lengths, interaction[self.POS_ITEM_ID])
        return self.mean_loss(self.states(item_seq)[present], targets, items, lengths)

    def mean_loss(self, states: Tensor, targets: Tensor, items: Tensor, lengths: Tensor) -> Tensor:
        """Cross-entropy over all items, in chunks of the targets.

        Args:
            states: after each item of the histories `[total_items, d]`.
            targets: the items to be predicted there `[total_items]`.
            items: of all histories end to end `[total_items]`.
            lengths: number of items of each history `[batch]`.
        """

        def loss(states: Tensor, targets: Tensor) -> Tensor:
            return F.cross_entropy(self.logits(states), targets, reduction="sum")

        return mean_in_chunks(loss, max(1, SCORES // self.n_items), (states, targets), ())
