"""
TIGERTokenWeighted
################################################

Reference:
    "Token-Weighted Multi-Target Learning for Generative Recommenders with Curriculum Learning."
    arXiv 2601.17787.
"""

from __future__ import annotations

from recbole_genrec.model.tiger import TIGER


class TIGERTokenWeighted(TIGER):
    r"""TIGER trained on three weightings of its token likelihoods at once.

    .. math::
        L = \alpha_{fg} L_{fg} + \alpha_{fr} L_{fr} + \alpha_{or} L_{or}

    Front-Greater weighs the levels of the semantic IDs by how much they tell about an item,
    Frequency the rare tokens of a level more; the shares are learned under a curriculum. The model
    is the choice of a loss (`recbole_genrec.loss.multi_target.TokenWeightedLoss`) in its YAML file.
    """
