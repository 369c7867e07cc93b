"""Item tokenizers by name."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module

from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.base import ItemTokenizer

TOKENIZERS = {
    "RQVAE": "recbole_genrec.tokenizer.rqvae",
    "SoftRQVAE": "recbole_genrec.tokenizer.soft_rqvae",
    "RQKMeans": "recbole_genrec.tokenizer.rqkmeans",
    "PQ": "recbole_genrec.tokenizer.pq",
    "OPQ": "recbole_genrec.tokenizer.pq",
    "Random": "recbole_genrec.tokenizer.random_ids",
    "LSH": "recbole_genrec.tokenizer.random_ids",
}


def create_tokenizer(config: Mapping, dim: int) -> ItemTokenizer:
    """The untrained tokenizer that `config["tokenizer"]` names, for item embeddings of width `dim`.

    `config` holds the keys of properties/tokenizer/common.yaml and <tokenizer>.yaml, and `seed`.
    """
    name = config["tokenizer"]
    if name not in TOKENIZERS:
        near = get_close_matches(str(name).lower(), [known.lower() for known in TOKENIZERS], n=1)
        hint = [known for known in TOKENIZERS if known.lower() in near]
        raise InputError(
            f"unknown tokenizer {name!r}: "
            + (f"did you mean {hint[0]!r}? " if hint else "")
            + f"choose {', '.join(TOKENIZERS)}"
        )
    return getattr(import_module(TOKENIZERS[name]), name)(config, dim)
