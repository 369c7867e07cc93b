"""Your own tables: CSV, JSON lines or Parquet, with columns that you name."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from functools import partial
from pathlib import Path

from recbole_genrec.data.prepare.raw.layout import Layout
from recbole_genrec.data.prepare.raw.readers import Chunks, read_csv, read_json_lines, read_parquet
from recbole_genrec.errors import InputError

READERS: dict[str, Callable[..., Chunks]] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), read_csv),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), read_json_lines),
    **dict.fromkeys((".parquet", ".pq"), read_parquet),
}


def table_layout(path: Path, columns: dict[str, str], encoding: str | None = None) -> Layout:
    """The layout of a table whose columns the user names.

    Args:
        path: the file; its suffix, before any `.gz`, tells the format.
        columns: our column name -> the user's.
        encoding: of a CSV file, UTF-8 when not given.

    Raises:
        InputError: for a suffix or encoding that is none of the known ones.
    """
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    reader = read_parquet if path.is_dir() else READERS.get(suffix.lower())
    if reader is None:
        raise InputError(f"{path}: expected a file named {', '.join(READERS)} (also with .gz)")
    if encoding is not None and reader is read_csv:
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise InputError(f"--encoding: {error}") from error
        reader = partial(read_csv, encoding=encoding)
    return Layout(reader, columns)
