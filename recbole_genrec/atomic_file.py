"""RecBole's atomic files: tab-separated, one header cell `name:type` per column."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from recbole.utils import FeatureType

from recbole_genrec.errors import InputError, shortened

ENCODING = "utf-8-sig"  # UTF-8, with or without a byte order mark
FLOAT_MISSING = ["", "nan", "NaN", "NA", "N/A", "null", "NULL", "None"]
GZIP = b"\x1f\x8b"


def read_header(
    path: str | Path, separator: str, encoding: str | None = None
) -> dict[str, FeatureType]:
    """Name -> type of the columns of an atomic file, in their order.

    Raises:
        InputError: naming the file, and the header cell that is not `name:type` or stands there
            twice; also for a file that is compressed or in another encoding.
    """
    with _readable(path, encoding), open(path, encoding=encoding or ENCODING) as file:
        cells = file.readline().rstrip("\r\n").split(separator)
    types = {kind.value: kind for kind in FeatureType}
    columns = {}
    for cell in cells:
        name, colon, kind = cell.rpartition(":")
        one_cell = len(cells) == 1 and ":" in name  # of another separator
        if not colon or kind not in types or one_cell:
            raise InputError(
                f"{path}: expected a header of cells name:type (type one of {', '.join(types)}) "
                f"separated by [{separator!r}] (field_separator), found [{shortened(cell)}]"
            )
        columns[name] = types[kind]
    counts = Counter(cell.rpartition(":")[0] for cell in cells)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise InputError(f"{path}: the header has the column [{twice[0]}] {counts[twice[0]]} times")
    return columns


def read_atomic_file(
    path: str | Path,
    columns: Iterable[str],
    separator: str,
    encoding: str | None = None,
    as_text: bool = False,
) -> pd.DataFrame:
    """The given columns: float64 where the type is `float`, else text, missing cells NaN.

    The index counts the lines after the header, blank ones included, which are left out.

    With `as_text` numbers are text too, as they are written in the file.

    Quotation marks are part of the text. In text only the empty cell is missing, so that an item
    called `NA` stays.

    Raises:
        InputError: naming the file and the line of what cannot be read in it: a row with more or
            fewer cells than the header, and a cell of a float column that is no number.
    """
    columns = list(columns)
    header = read_header(path, separator, encoding)
    with _readable(path, encoding):
        blank = _check_rows(path, len(header), separator, encoding)
    floats = [] if as_text else [name for name in columns if header[name] == FeatureType.FLOAT]

    def read(numbers: type) -> pd.DataFrame:
        return pd.read_csv(
            path,
            sep=separator,
            header=0,
            names=list(header),
            usecols=columns,
            dtype={name: numbers if name in floats else str for name in columns},
            na_values={name: FLOAT_MISSING if name in floats else [""] for name in columns},
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            engine="c" if len(separator) == 1 else "python",
            encoding=encoding or ENCODING,
            index_col=False,
            skip_blank_lines=False,
        )

    try:
        table = read(np.float64)
    except ValueError:  # pandas names neither line nor column
        table = read(str)
        for name in floats:
            table[name] = _numbers(table[name], path)
    return table.drop(index=[number - 2 for number in blank])


def _numbers(cells: pd.Series, path: str | Path) -> np.ndarray:
    """The cells as float64, missing ones NaN."""
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(np.isnan(numbers) & cells.notna())
    if len(wrong):
        raise InputError(
            f"{path}, line {wrong[0] + 2}: column [{cells.name}] of type float should hold a "
            f"number, found [{shortened(cells.iloc[wrong[0]])}]"
        )
    return numbers


def check_some_in_common(
    path: str | Path,
    column: str,
    found: Iterable[str],
    expected: Iterable[str],
    where: str = "the interactions",
) -> None:
    """Refuse a file that describes nothing of what is named in the interactions, or elsewhere.

    Raises:
        InputError: with an example of both, such as `5` beside `5.0`.
    """
    found, expected = list(found), list(expected)
    if set(found).isdisjoint(expected):
        raise InputError(
            f"{path}: column [{column}] has no name in common with {where}: found "
            f"{_examples(found)} here and {_examples(expected)} there"
        )


def _examples(names: list[str]) -> str:
    return "[" + ", ".join(shortened(name) for name in names[:3]) + "]"


def _check_rows(path: str | Path, width: int, separator: str, encoding: str | None) -> list[int]:
    """Refuse rows that do not fit the header: pandas would drop their surplus without a word.

    Returns:
        the numbers of the lines without any cell; the header has number 1.
    """
    blank = []
    with open(path, encoding=encoding or ENCODING) as file:
        for number, line in enumerate(file, 1):
            if line.count(separator) != width - 1:
                if line == "\n":
                    blank.append(number)
                    continue
                raise InputError(
                    f"{path}, line {number}: the header has {width} cells, found "
                    f"{line.count(separator) + 1} (a text with the field_separator or a line "
                    "break in it?)"
                )
            if "\0" in line:
                raise InputError(f"{path}, line {number}: found a NUL character, expected text")
    return blank


@contextmanager
def _readable(path: str | Path, encoding: str | None) -> Iterator[None]:
    """What cannot be opened or decoded comes out as an InputError."""
    try:
        yield
    except LookupError as error:
        raise InputError(f"encoding [{encoding}] is none that Python knows") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        with open(path, "rb") as file:
            packed = file.read(2) == GZIP
        if packed:
            raise InputError(f"{path} is compressed: unpack it first (gunzip)") from error
        raise InputError(
            f"{path} is not in the encoding {encoding or 'utf-8'}: {error}; name its own, such "
            "as --encoding=latin-1"
        ) from error
