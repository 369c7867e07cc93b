"""Item tokenizers by name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch

from recbole_genrec.errors import check_name
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

    Raises:
        InputError: if there is no such tokenizer.
    """
    name = config["tokenizer"]
    check_name("tokenizer", name, TOKENIZERS)
    return getattr(import_module(TOKENIZERS[name]), name)(config, dim)


def tokenizer_state(tokenizer: ItemTokenizer) -> dict[str, Any]:
    """A tokenizer as tensors and plain values, for a checkpoint."""
    weights = {name: tensor.cpu() for name, tensor in tokenizer.state_dict().items()}
    return {"settings": tokenizer.settings, "dim": tokenizer.dim, "state": weights}


def restore_tokenizer(
    state: Mapping[str, Any], device: torch.device | str = "cpu"
) -> ItemTokenizer:
    """The tokenizer that `state` was taken of."""
    tokenizer = create_tokenizer(state["settings"], state["dim"]).to(device)
    tokenizer.load_state_dict(state["state"])
    return tokenizer
