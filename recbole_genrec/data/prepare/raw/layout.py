"""What a source says about one of its raw files: how it is read and which columns it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from recbole_genrec.data.prepare.raw.drops import Drops
from recbole_genrec.data.prepare.raw.readers import Chunks
from recbole_genrec.errors import InputError


@dataclass(frozen=True)
class Layout:
    """How a raw file becomes rows with our column names.

    Attributes:
        reader: reads the format: `reader(path, names of columns, drops)`.
        columns: our column name -> the name in the file; two or more.
        convert: changes a chunk of rows with our column names, where the source needs it.
        sequences: those of our columns that hold several values (`token_seq`), as lists.
    """

    reader: Callable[[Path, list[str], Drops], Chunks]
    columns: dict[str, str]
    convert: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    sequences: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Source:
    """The raw files of one publisher.

    Attributes:
        interactions: layout of its interactions.
        items: layout of its items.
        ratings: layout of interactions in a `.csv` file, where there are two forms.
        core: users and items with fewer interactions are left out in the literature (k-core).
    """

    interactions: Layout
    items: Layout
    ratings: Layout | None = None
    core: int | None = None

    def interactions_in(self, path: Path) -> Layout:
        """The layout of this file of interactions."""
        csv = path.name.lower().removesuffix(".gz").endswith(".csv")
        return self.ratings if csv and self.ratings else self.interactions


def read_raw(path: Path, layout: Layout, drops: Drops) -> Iterator[pd.DataFrame]:
    """The rows of a raw file, chunk by chunk, as raw values; index = line number in the file.

    Raises:
        InputError: for a file that cannot be read or lacks a column.
    """
    try:
        for lines, values in layout.reader(path, list(layout.columns.values()), drops):
            columns = dict(zip(layout.columns, values, strict=True))
            chunk = pd.DataFrame(columns, index=lines, dtype=object)
            yield layout.convert(chunk) if layout.convert else chunk
    except (InputError, OSError, EOFError) as error:
        text = str(error)
        raise InputError(text if str(path) in text else f"{path}: {text}") from error
