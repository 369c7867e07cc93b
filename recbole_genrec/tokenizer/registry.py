"""Item tokenizers by name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch

from recbole_genrec.errors import check_name, refuse
from recbole_genrec.tokenizer.base import ItemTokenizer

TOKENIZERS = {
    "RQVAE": "recbole_genrec.tokenizer.rqvae",
    "SoftRQVAE": "recbole_genrec.tokenizer.soft_rqvae",
    "LETTER": "recbole_genrec.tokenizer.letter",
    "RQKMeans": "recbole_genrec.tokenizer.rqkmeans",
    "HierarchicalKMeans": "recbole_genrec.tokenizer.hierarchical_kmeans",
    "PQ": "recbole_genrec.tokenizer.pq",
    "OPQ": "recbole_genrec.tokenizer.pq",
    "Random": "recbole_genrec.tokenizer.random_ids",
    "LSH": "recbole_genrec.tokenizer.random_ids",
}


def register_tokenizer(cls: type[ItemTokenizer]) -> type[ItemTokenizer]:
    """Make a tokenizer class known by its name, as `--tokenizer=<name>`; to be used above it.

    Its settings are those of the tokenizer that it inherits from and those of `<name>.yaml` beside
    its module, or in a folder `properties` there.

    Raises:
        InputError: if it is no `ItemTokenizer`, or its name is taken.
    """
    if not (isinstance(cls, type) and issubclass(cls, ItemTokenizer)):
        refuse("tokenizer", "a class that inherits from ItemTokenizer", cls)
    taken = TOKENIZERS.setdefault(cls.__name__, cls.__module__)
    if taken != cls.__module__:
        refuse("name of a tokenizer", f"one that is free ({taken} has it)", cls.__name__)
    return cls


def tokenizer_class(name: str) -> type[ItemTokenizer]:
    """The tokenizer of this name.

    Raises:
        InputError: if there is no such tokenizer.
    """
    check_name("tokenizer", name, TOKENIZERS)
    return getattr(import_module(TOKENIZERS[name]), name)


def create_tokenizer(config: Mapping, dim: int) -> ItemTokenizer:
    """The untrained tokenizer that `config["tokenizer"]` names, for item embeddings of width `dim`.

    `config` holds the keys of properties/tokenizer/common.yaml and <tokenizer>.yaml, and `seed`.

    Raises:
        InputError: if there is no such tokenizer.
    """
    return tokenizer_class(config["tokenizer"])(config, dim)


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
