"""SASRec and BSARec with what SemanticSASRec has beside its item vectors: a repeat bias."""

from recbole.model.sequential_recommender.sasrec import SASRec

from recbole_genrec.model.bsarec import BSARec
from recbole_genrec.model.repeat_bias import ScoresWithRepeatBias


class SASRecRepeatBias(ScoresWithRepeatBias, SASRec):
    """RecBole's SASRec with a repeat bias."""


class BSARecRepeatBias(ScoresWithRepeatBias, BSARec):
    """BSARec with a repeat bias."""
