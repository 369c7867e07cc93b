"""What can be known to be wrong with a configuration of UniGRec before any long work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer import soft_rqvae


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
