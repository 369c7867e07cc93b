"""Pop, repaired: in RecBole 1.2.1 its result depends on `train_batch_size` and `seed`."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from recbole.model.general_recommender import pop
from recbole.utils import InputType


class Pop(pop.Pop):
    """Recommends the items with the most interactions in training.

    RecBole's counts sampled negatives as interactions, and an item only once per batch.
    """

    input_type = InputType.PAIRWISE  # negatives have a field of their own

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Count the items of a batch; nothing is learned, so the loss is 0."""
        counts = torch.bincount(interaction[self.ITEM_ID], minlength=self.n_items)
        self.item_cnt += counts[:, None]
        self.max_cnt = self.item_cnt.max(dim=0).values
        return torch.zeros(1, device=self.device, requires_grad=True)
