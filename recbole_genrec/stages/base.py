"""What a stage is: one step from the files of a data set to what a model needs of its items."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from recbole_genrec.items.items import Items


class Stage(Protocol):
    """A step that a model, or a later step, asks for; made anew for every run."""

    def check(self, config, dataset) -> None:
        """Find out quickly, before any stage does long work, whether `run` can succeed.

        Called once, before `run`, which may use what was read here.

        Raises:
            InputError: naming the setting or the file that stands against it.
        """

    def run(self, config, dataset, items: Items) -> None:
        """Add the result to `items`, from the cache where it is there.

        An attempt that was interrupted is continued.

        Args:
            config: the settings of the run.
            dataset: has `item_tokens`, the raw token of every item by internal id.
            items: what the stages before this one have added to.

        Raises:
            InputError: if a setting or a file cannot work.
        """


def cache_root(config) -> Path:
    """The folder in which stages keep their results."""
    return Path(config["checkpoint_dir"]) / "semantic_ids"
