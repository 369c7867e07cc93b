"""Generative recommendation for RecBole: semantic-ID tokenizers and models as a plug-in."""

from contextlib import suppress
from typing import Any

from recbole_genrec.errors import MissingPackage

__version__ = "0.2.0.dev0"
__all__ = ["Recommender", "register_model", "run_recbole_genrec"]

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
