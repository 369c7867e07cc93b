"""SASRec and BSARec with what SemanticSASRec has beside its item vectors: a repeat bias."""

from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn import functional as F

from recbole_genrec.model.bsarec import BSARec
from recbole_genrec.model.histories import items_before
from recbole_genrec.model.item_softmax import SCORES, mean_in_chunks
from recbole_genrec.model.repeat_bias import ScoresWithRepeatBias
from recbole_genrec.model.sasrec_one_pass import SASRecOnePass


class SASRecRepeatBias(ScoresWithRepeatBias, SASRecOnePass):
    """SASRec, all targets of a sequence in one pass, with a repeat bias."""

    def mean_loss(self, states: Tensor, targets: Tensor, items: Tensor, lengths: Tensor) -> Tensor:
        bias = self.repeat_bias
        if bias is None:
            return super().mean_loss(states, targets, items, lengths)

        def loss(states: Tensor, targets: Tensor, seen: Tensor) -> Tensor:
            scores = bias(seen, targets).add_to(self.logits(states))
            return F.cross_entropy(scores, targets, reduction="sum")

        per_target = states, targets, items_before(items, lengths)
        return mean_in_chunks(loss, max(1, SCORES // self.n_items), per_target, ())


class BSARecRepeatBias(ScoresWithRepeatBias, BSARec):
    """BSARec with a repeat bias; its filter looks ahead, so that each target needs its own pass."""

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        return self.validation_loss(interaction)
