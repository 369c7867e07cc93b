"""Readers of the file formats that raw data come in: streaming, malformed lines counted.

Each yields chunks: the line numbers of its rows and, column by column, the values asked for.
"""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recbole_genrec.data.prepare.raw.drops import MALFORMED, Drops
from recbole_genrec.errors import InputError, nearest

CHUNK_ROWS = 65_536
SEPARATORS = ",;\t|"

Chunks = Iterator[tuple[Sequence[int], list[Sequence[Any]]]]
Rows = Iterator[tuple]  # line number and values; of a malformed row the line number alone


def read_csv(path: Path, names: list[str], drops: Drops, encoding: str = "utf-8") -> Chunks:
    """A table with a header line; the separator is the one that yields the columns asked for."""
    lines = read_lines(path, encoding)
    header_line = next(lines, "")
    if not header_line.strip():
        raise InputError(f"{path} begins with an empty line; expected the names of its columns")
    headers = {
        separator: [cell.strip() for cell in next(csv.reader([header_line], delimiter=separator))]
        for separator in SEPARATORS
    }
    separator = max(headers, key=lambda s: (len({*names} & {*headers[s]}), len(headers[s])))
    header = headers[separator]
    check_columns(path, names, header)
    yield from _chunks(_csv_rows(lines, separator, header, names), drops)


def read_plain(
    path: Path,
    names: list[str],
    drops: Drops,
    header: Sequence[str],
    separator: str,
    encoding: str = "utf-8",
) -> Chunks:
    """A table without header line and without quotation: fields between separators."""
    pick = itemgetter(*map(header.index, names))

    def rows() -> Rows:
        for number, line in enumerate(read_lines(path, encoding), start=1):
            if not line.isspace():
                fields = line.rstrip("\r\n").split(separator)
                yield (number, *pick(fields)) if len(fields) == len(header) else (number,)

    yield from _chunks(rows(), drops)


def read_json_lines(
    path: Path,
    names: list[str],
    drops: Drops,
    optional: Collection[str] = (),
    parse: Callable[[str], Any] = json.loads,
) -> Chunks:
    """One JSON object per line; a key that one object lacks is a missing value.

    A key that none of the first objects has is an error, unless it is `optional`.
    """
    keys: dict[str, None] = {}  # of the objects, until all that are needed have been seen
    needed = set(names) - set(optional)

    def rows() -> Rows:
        for number, line in enumerate(read_lines(path, "utf-8"), start=1):
            if number == 1 and line.lstrip().startswith("["):
                raise InputError(
                    f"{path} is one JSON array; expected one JSON object per line "
                    "(jq -c '.[]' converts it)"
                )
            if line.isspace():
                continue
            try:
                record = parse(line)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                record = None
            if not isinstance(record, dict):
                yield (number,)
                continue
            if not needed <= keys.keys():
                keys.update(dict.fromkeys(record))
            yield (number, *map(record.get, names))

    for chunk in _chunks(rows(), drops):
        if keys:
            check_columns(path, [name for name in names if name in needed], list(keys))
        yield chunk


def parse_loose_json(line: str) -> Any:
    """A line of JSON or, as in the metadata of Amazon 2014, of a Python literal."""
    try:
        return json.loads(line)
    except ValueError:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of escapes such as "\/"
            return ast.literal_eval(line.strip())


def read_parquet(path: Path, names: list[str], drops: Drops) -> Chunks:
    """A Parquet file, or a folder of them; values come out as text, lists as lists."""
    try:
        import pyarrow as pa
        import pyarrow.dataset
    except ImportError as error:
        raise InputError(
            f"{path}: reading Parquet needs pyarrow; install recbole-genrec[parquet]"
        ) from error
    drops.unit = "row"
    try:
        table = pyarrow.dataset.dataset(path, format="parquet")
        check_columns(path, names, table.schema.names)
        for batch in table.to_batches(columns=[*dict.fromkeys(names)], batch_size=CHUNK_ROWS):
            lines = range(drops.rows + 1, drops.rows + 1 + batch.num_rows)
            drops.rows += batch.num_rows
            columns = [batch.column(name) for name in names]
            yield (
                lines,
                [
                    (c if pa.types.is_nested(c.type) else c.cast(pa.string())).to_pylist()
                    for c in columns
                ],
            )
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} is no readable Parquet file: {error}") from error


def read_lines(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a text file, unpacked when its name ends in `.gz`, with a progress bar.

    Raises:
        InputError: for bytes that are not text in this encoding.
    """
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding  # Excel's mark at the beginning
    number, size = 0, path.stat().st_size
    bar = {"total": size, "unit": "B", "unit_scale": True, "leave": False, "disable": None}
    with (
        open(path, "rb") as raw,
        gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw as binary,
        # newline="": line breaks inside quoted fields stay what they are
        io.TextIOWrapper(binary, encoding, newline="") as text,
        tqdm(desc=path.name, **bar) as progress,
    ):
        try:
            for number, line in enumerate(text, start=1):
                yield line
                if number % 10_000 == 0:
                    progress.update(raw.tell() - progress.n)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} is not text in the encoding {encoding.removesuffix('-sig')} soon after "
                f"line {number} ({error.reason}); --encoding names another one, e.g. latin-1"
            ) from error


def check_columns(path: Path, names: list[str], found: Sequence[str]) -> None:
    """Refuse a file that lacks one of the columns, or has it twice; the nearest one is named."""
    for name in names:
        if found.count(name) > 1:
            raise InputError(
                f"{path}: the header has the column [{name}] {found.count(name)} times"
            )
        if name not in found:
            raise InputError(
                f"{path} has no column [{name}], only {list(found)}{nearest(name, set(found))}"
            )


def _csv_rows(lines: Iterator[str], separator: str, header: list[str], names: list[str]) -> Rows:
    reader = csv.reader(lines, delimiter=separator)
    pick = itemgetter(*map(header.index, names))
    while True:
        number = reader.line_num + 2  # the header is line 1
        try:
            row = next(reader, None)
        except csv.Error:  # e.g. a quotation mark that is never closed
            yield (number,)
            continue
        if row is None:
            return
        if row:
            yield (number, *pick(row)) if len(row) == len(header) else (number,)


def _chunks(rows: Rows, drops: Drops) -> Chunks:
    """Rows in chunks, column by column; malformed ones are counted and left out."""
    while chunk := list(islice(rows, CHUNK_ROWS)):
        drops.rows += len(chunk)
        drops.add(MALFORMED, (row[0] for row in chunk if len(row) == 1))
        good = [row for row in chunk if len(row) > 1]
        if good:
            lines, *columns = zip(*good, strict=True)
            yield lines, list(columns)
