"""Trained models for programs that do not know this package."""

from recbole_genrec.export.export import export

__all__ = ["export"]
