r"""
LETTER
################################################

Reference:
    Wenjie Wang et al. "Learnable Item Tokenization for Generative Recommendation." in CIKM 2024.

Reference code:
    https://github.com/HonghuiBao2000/LETTER
"""

from __future__ import annotations

from recbole_genrec.model.tiger import TIGER


class LETTER(TIGER):
    r"""TIGER on semantic IDs that follow collaborative embeddings.

    Its tokenizer (`recbole_genrec.tokenizer.letter`) is trained before, with the item embeddings of
    a sequential model as side information. The recommender is TIGER with the loss `rank`,

    .. math::
        - \log \frac{\exp(p(y_l) / \tau)}{\sum_v \exp(p(v) / \tau)}

    Both are choices of the YAML file.
    """
