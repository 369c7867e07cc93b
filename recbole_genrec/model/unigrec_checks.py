"""What can be known to be wrong with a configuration of UniGRec before any long work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
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
EPOCHS = ("distillation_warmup_epochs", "finetune_epochs", "teacher_epochs")


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
    _check_teacher_files(config)


def _check_teacher_files(config: Mapping[str, Any]) -> None:
    """At most one source of the teacher, whose files are there."""
    checkpoint, file = config["teacher_checkpoint"], config["teacher_embedding_file"]
    ids = config["teacher_embedding_ids"]
    if checkpoint and file:
        raise InputError(
            "one of teacher_checkpoint and teacher_embedding_file should be set, found both "
            f"[{checkpoint}] and [{file}]: which one is the teacher?"
        )
    if ids and not file:
        raise InputError(
            f"teacher_embedding_ids [{ids}] should come with a teacher_embedding_file, found none"
        )
    if file and Path(file).suffix.lower() == ".npy" and not ids:
        raise InputError(
            f"teacher_embedding_file [{file}] should come with teacher_embedding_ids, the raw item "
            "token of each of its rows, found none"
        )
    for key in ("teacher_checkpoint", "teacher_embedding_file", "teacher_embedding_ids"):
        if config[key] and not Path(config[key]).expanduser().is_file():
            raise InputError(f"{key}: there is no file {config[key]}")
