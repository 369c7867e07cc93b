"""SASRec and BSARec with what SemanticSASRec has beside its item vectors: a repeat bias."""

from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_genrec.model.bsarec import BSARec
from recbole_genrec.model.repeat_bias import ScoresWithRepeatBias
from recbole_genrec.model.sasrec_one_pass import SASRecOnePass


class SASRecRepeatBias(ScoresWithRepeatBias, SASRecOnePass):
    """SASRec, all targets of a sequence in one pass, with a repeat bias."""

    def logits(self, states: Tensor, seen: Tensor, targets: Tensor) -> Tensor:
        scores = super().logits(states, seen, targets)
        if self.repeat_bias is None:
            return scores
        return self.repeat_bias(seen, targets).add_to(scores)


class BSARecRepeatBias(ScoresWithRepeatBias, BSARec):
    """BSARec with a repeat bias; its filter looks ahead, so that each target needs its own pass."""

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        return self.validation_loss(interaction)
