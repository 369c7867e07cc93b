r"""
LETTER
################################################

Reference:
    Wenjie Wang et al. "Learnable Item Tokenization for Generative Recommendation." in CIKM 2024.

Reference code:
    https://github.com/HonghuiBao2000/LETTER
"""

from __future__ import annotations

from recbole_genrec.errors import refuse
from recbole_genrec.model.tiger import TIGER


class LETTER(TIGER):
    r"""TIGER on semantic IDs that follow collaborative embeddings.

    Its tokenizer (`recbole_genrec.tokenizer.letter`) is trained before, with the item embeddings of
    a sequential model as side information. The recommender is TIGER with the loss `rank`,

    .. math::
        - \log \frac{\exp(p(y_l) / \tau)}{\sum_v \exp(p(v) / \tau)}

    Both are choices of the YAML file.
    """

    @classmethod
    def check_config(cls, config) -> None:
        super().check_config(config)
        given = config["teacher_embedding_file"] or config["teacher_checkpoint"]
        width, latent = config["teacher_hidden_size"], config["tokenizer_code_dim"]
        if config["tokenizer"] == "LETTER" and not given and width != latent:
            refuse("teacher_hidden_size", f"tokenizer_code_dim [{latent}]", width)
