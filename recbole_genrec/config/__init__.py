"""Settings of a run: where they come from, and what is refused before any work."""

from recbole_genrec.config.config import Config

__all__ = ["Config"]
