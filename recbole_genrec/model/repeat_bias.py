"""What a model says about items that stand in the history already."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.errors import refuse
from recbole_genrec.model.histories import last_items_first
from recbole_genrec.model.hooks import RECOMMENDER, ModelHooks
from recbole_genrec.model.phases import LearningRate, Phase
from recbole_genrec.model.sparse_scores import SparseScores

# The bias has to move by 20 and more, which takes too many steps of a usual learning rate.
SCALE = 10.0
REPEAT_BIAS = "repeat_bias"  # the part of a model that is fitted after it
FITTING_EPOCHS, FITTING_RATE = 5, 0.05


class RepeatBias(nn.Module):
    r"""A learned number :math:`b_j` for the score of the item that stands j steps back.

    Without it a softmax over items puts those of the history on top, for a state is made of their
    vectors. On data without repeats it becomes a mask that was learned; elsewhere it may take
    either sign. An item that stands in the history several times gets the sum.

    Args:
        max_length: items of the longest history.
        kind: "learned"; "one" number for all steps back; "fitted" when all else is trained, see
            `HasRepeatBias`; or "mask", the score -inf, but for the target of a loss.
    """

    def __init__(self, max_length: int, kind: str = "learned") -> None:
        super().__init__()
        self.kind = kind
        if kind != "mask":
            self.weight = nn.Parameter(torch.zeros(1 if kind == "one" else max_length))

    def forward(self, seen: Tensor, targets: Tensor | None = None) -> SparseScores:
        """The bias of the items in `seen`.

        Args:
            seen: items `[n, <= max_length]`, the last one first; 0 behind the first of a history.
            targets: for a loss, the item of each row that is to be predicted `[n]`.
        """
        if self.kind == "mask":
            if targets is not None:
                seen = seen.masked_fill(seen == targets.unsqueeze(1), 0)
            return SparseScores(seen, torch.full(seen.shape, -torch.inf, device=seen.device))
        values = SCALE * self.weight[: seen.shape[1]]
        return SparseScores(seen, values.expand(seen.shape))


def repeat_bias(config, max_length: int) -> RepeatBias | None:
    """That of the setting `repeat_bias`."""
    kind = config["repeat_bias"]
    return None if kind == "none" else RepeatBias(max_length, kind)


class HasRepeatBias(ModelHooks):
    """A model with a `repeat_bias`: where it is "fitted", all else is trained without it first."""

    repeat_bias: RepeatBias | None

    def _fitted_bias(self) -> nn.Parameter | None:
        """The parameter that is fitted when all else is trained, if there is one."""
        bias = self.repeat_bias
        return bias.weight if bias is not None and bias.kind == "fitted" else None

    def parts(self) -> dict[str, list[nn.Parameter]]:
        parts, bias = super().parts(), self._fitted_bias()
        if bias is not None:
            rest = [parameter for parameter in parts[RECOMMENDER] if parameter is not bias]
            parts |= {RECOMMENDER: rest, REPEAT_BIAS: [bias]}
        return parts

    def phases(self, config) -> list[Phase]:
        phases = super().phases(config)
        if self._fitted_bias() is not None:
            rates, patience = [{REPEAT_BIAS: LearningRate(FITTING_RATE)}], config["stopping_step"]
            phases += [Phase("repeat bias", FITTING_EPOCHS, patience, rates, from_best=True)]
        return phases


class ScoresWithRepeatBias(HasRepeatBias, SequentialRecommender):
    """Gives a model of RecBole a repeat bias, in training and in ranking.

    To be inherited from before the model, whose loss has to be cross-entropy over the scores of all
    items that its `full_sort_predict` gives; a subclass adds the bias to those of training.
    """

    @classmethod
    def check_config(cls, config) -> None:
        super().check_config(config)
        if config["loss_type"] != "CE":
            refuse("loss_type", "CE, for a bias on the scores of all items", config["loss_type"])

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.repeat_bias = repeat_bias(config, self.max_seq_length)

    def validation_loss(self, interaction: Interaction) -> Tensor:
        """Cross-entropy of the next items over all items, of which a mask spares the targets."""
        targets = interaction[self.POS_ITEM_ID]
        return F.cross_entropy(self._scores(interaction, targets), targets)

    def predict(self, interaction: Interaction) -> Tensor:
        scores = self._scores(interaction)
        return scores.gather(1, interaction[self.ITEM_ID].unsqueeze(1)).squeeze(1)

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        return self._scores(interaction)

    def _scores(self, interaction: Interaction, targets: Tensor | None = None) -> Tensor:
        """Scores `[batch, n_items]`."""
        scores = super().full_sort_predict(interaction)
        if self.repeat_bias is None:
            return scores
        seen = last_items_first(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
        return self.repeat_bias(seen, targets).add_to(scores)
