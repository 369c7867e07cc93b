"""RecBole's atomic files: tab-separated, one header cell `name:type` per column."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from recbole.utils import FeatureType

from recbole_genrec.errors import InputError

ENCODING = "utf-8-sig"  # UTF-8, with or without a byte order mark
FLOAT_MISSING = ["", "nan", "NaN", "NA", "N/A", "null", "NULL", "None"]


def read_header(
    path: str | Path, separator: str, encoding: str | None = None
) -> dict[str, FeatureType]:
    """Name -> type of the columns of an atomic file, in their order.

    Raises:
        InputError: naming the file and the header cell that is not `name:type`.
    """
    with open(path, encoding=encoding or ENCODING, errors="replace") as file:
        cells = file.readline().rstrip("\r\n").split(separator)
    types = {kind.value: kind for kind in FeatureType}
    columns = {}
    for cell in cells:
        name, colon, kind = cell.rpartition(":")
        one_cell = len(cells) == 1 and ":" in name  # of another separator
        if not colon or kind not in types or one_cell:
            raise InputError(
                f"{path}: expected a header of cells name:type (type one of {', '.join(types)}) "
                f"separated by [{separator!r}] (field_separator), found [{cell}]"
            )
        columns[name] = types[kind]
    return columns


def read_atomic_file(
    path: str | Path,
    columns: Iterable[str],
    separator: str,
    encoding: str | None = None,
    as_text: bool = False,
) -> pd.DataFrame:
    """The given columns: float64 where the type is `float`, else text, missing cells NaN.

    With `as_text` numbers are text too, as they are written in the file.

    Quotation marks are part of the text. In text only the empty cell is missing, so that an item
    called `NA` stays.

    Raises:
        InputError: naming the file and what cannot be read in it.
    """
    header = read_header(path, separator, encoding)
    floats = [] if as_text else [name for name in columns if header[name] == FeatureType.FLOAT]
    try:
        return pd.read_csv(
            path,
            sep=separator,
            header=0,
            names=list(header),
            usecols=list(columns),
            dtype={name: np.float64 if name in floats else str for name in columns},
            na_values={name: FLOAT_MISSING if name in floats else [""] for name in columns},
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            engine="c" if len(separator) == 1 else "python",
            encoding=encoding or ENCODING,
            index_col=False,
        )
    except ValueError as error:  # also what cannot be parsed or decoded
        raise InputError(f"{path}: {error}") from error
