"""What can be known to be wrong with a configuration of UniGRec before any long work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_genrec.errors import InputError, check_number
from recbole_genrec.tokenizer import soft_rqvae

NUMBERS = (  # none of which may be negative
    "joint_tokenizer_learning_rate",
    "distillation_learning_rate",
    "reconstruction_weight",
    "tokenizer_distillation_weight",
    "recommender_distillation_weight",
)
EPOCHS = ("distillation_warmup_epochs", "finetune_epochs")


def check_unigrec(config: Mapping[str, Any]) -> None:
    """Raise an InputError that names the key and what was found, if a setting cannot work."""
    if config["sid_file"]:
        raise InputError(
            "sid_file: UniGRec trains the tokenizer and cannot use given semantic IDs "
            f"({config['sid_file']})"
        )
    if config["tokenizer"] != "SoftRQVAE":
        raise InputError(f"tokenizer: UniGRec needs SoftRQVAE, found {config['tokenizer']}")
    if config["collision"] != "append":
        raise InputError(
            "collision: UniGRec tells items apart by a dedicated token, which needs append, "
            f"found {config['collision']}"
        )
    soft_rqvae.check_settings(config)
    for key in NUMBERS:
        check_number(key, config[key], low=0)
    for key in EPOCHS:
        if not isinstance(config[key], int) or config[key] < 0:
            raise InputError(f"{key} should be an integer of at least 0, found [{config[key]}]")
    check_number("distillation_temperature", config["distillation_temperature"], low=0, open=True)
    temperature = config["tokenizer_distillation_temperature"]
    if temperature is not None:
        check_number("tokenizer_distillation_temperature", temperature, low=0, open=True)
