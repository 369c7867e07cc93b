"""Generative recommendation for RecBole: semantic-ID tokenizers and models as a plug-in."""

import os
from contextlib import suppress
from typing import Any

from recbole_genrec.errors import MissingPackage

__version__ = "0.2.0.dev0"
__all__ = ["Recommender", "register_model", "run_recbole_genrec"]

# Read by torch at its first tensor: large ones then lie in huge pages of memory, where Linux has
# them. An epoch of SemanticSASRec on Amazon Beauty took 15.6 s in place of 23.8 s on one core, with
# the same losses to the last digit: half of the time had gone into faults of small pages.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

with suppress(MissingPackage):  # without RecBole there is nothing to patch; its users will say so
    from recbole_genrec.compat import give_back_removed_names, let_quick_start_be_imported

    give_back_removed_names()
    let_quick_start_be_imported()


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: `recbole_genrec.decoding` needs no RecBole."""
    if name == "run_recbole_genrec":
        from recbole_genrec.quick_start import run_recbole_genrec

        return run_recbole_genrec
    if name == "Recommender":
        from recbole_genrec.inference import Recommender

        return Recommender
    if name == "register_model":
        from recbole_genrec.registry import register_model

        return register_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
