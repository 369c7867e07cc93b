"""Files of histories and of new items, as users write them."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from recbole_genrec.errors import InputError


class History(NamedTuple):
    """What one user has interacted with, oldest first; `user` is None where no one is named."""

    user: str | None
    items: list[str]


def read_histories(path: str) -> list[History]:
    """Histories from a file, or from standard input for "-".

    Either JSON lines, `{"user": "u1", "history": ["a", "b"]}` with an optional user, or CSV (with
    commas or tabs) with the columns `user_id` and `item_id`, or `user` and `item`, one interaction
    a row. With a column `timestamp` or `time` the rows of a user are put in its order; without one
    they stand oldest first. Names may have RecBole's types behind them, as in `user_id:token`.

    Raises:
        InputError: naming the file and the line that is neither.
    """
    lines = _lines(path)
    if not lines:
        raise InputError(f"{_name(path)} holds no history")
    if lines[0][1].lstrip().startswith("{"):
        return [_json_history(path, number, line) for number, line in lines]
    return _csv_histories(path, lines)


def read_new_items(path: str) -> tuple[list[str], list[str]]:
    """Raw tokens and texts of new items from JSON lines `{"item": "token", "text": "..."}`.

    Raises:
        InputError: naming the file without items, or the file and the line that is something else.
    """
    tokens, texts = [], []
    for number, line in _lines(path):
        record = _record(path, number, line)
        text = record.get("text")
        if not isinstance(text, str) or not text.strip() or "item" not in record:
            raise InputError(
                f'{_name(path)}, line {number}: expected {{"item": "token", "text": "..."}}, '
                f"found {line.strip()[:80]}"
            )
        tokens.append(str(record["item"]))
        texts.append(text)
    if not tokens:
        raise InputError(f"{_name(path)} holds no new item")
    return tokens, texts


def read_tokens(path: str) -> list[str]:
    """Raw item tokens, one per line."""
    return [line.strip() for _, line in _lines(path)]


def _lines(path: str) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
        text.encode()  # refuses halves of characters that standard input lets pass
    except (OSError, ValueError) as error:
        raise InputError(f"{_name(path)}: cannot be read ({error})") from None
    # Not splitlines: a JSON text may hold other line separators of Unicode.
    return [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]


def _record(path: str, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{_name(path)}, line {number}: expected text, found half a character (a surrogate "
            "without its other half)"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{_name(path)}, line {number}: not JSON ({error})") from None
    if not isinstance(record, dict):
        raise InputError(f"{_name(path)}, line {number}: expected an object, found {line[:80]}")
    return record


def _json_history(path: str, number: int, line: str) -> History:
    record = _record(path, number, line)
    items = record.get("history")
    if not isinstance(items, list) or not all(isinstance(item, str | int) for item in items):
        raise InputError(
            f'{_name(path)}, line {number}: expected {{"history": ["token", ...]}}, '
            f"found {line.strip()[:80]}"
        )
    user = record.get("user")
    return History(None if user is None else str(user), [str(item) for item in items])


def _csv_histories(path: str, lines: list[tuple[int, str]]) -> list[History]:
    separator = "\t" if "\t" in lines[0][1] else ","
    header, *rows = _csv_rows(path, lines, separator)
    columns = [name.partition(":")[0] for name in header[1]]
    read = ("user_id", "user"), ("item_id", "item"), ("timestamp", "time")
    user, item, time = (_column(path, columns, names) for names in read)
    if user is None or item is None:
        raise InputError(
            f"{_name(path)}: expected JSON lines or CSV with the columns user_id and item_id (or "
            f"user and item), and perhaps timestamp, found the columns {', '.join(columns)}"
        )
    events: dict[str, list[tuple[float, str]]] = {}
    for number, row in rows:
        if len(row) != len(columns):
            raise InputError(
                f"{_name(path)}, line {number}: the header has {len(columns)} cells, "
                f"found {len(row)}"
            )
        if not row[user] or not row[item]:
            raise InputError(f"{_name(path)}, line {number}: user or item is missing")
        moment = 0.0 if time is None else _moment(path, number, row[time])
        events.setdefault(row[user], []).append((moment, row[item]))
    return [
        History(name, [token for _, token in sorted(own, key=lambda event: event[0])])
        for name, own in events.items()
    ]


def _csv_rows(
    path: str, lines: list[tuple[int, str]], separator: str
) -> Iterator[tuple[int, list[str]]]:
    """Rows with the numbers of the lines that they end in."""
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader((line for _, line in lines), delimiter=separator, skipinitialspace=True)
    try:
        for row in reader:
            yield lines[reader.line_num - 1][0], row
    except csv.Error as error:
        number = lines[reader.line_num - 1][0]
        raise InputError(f"{_name(path)}, line {number}: not CSV ({error})") from None


def _column(path: str, columns: list[str], names: tuple[str, ...]) -> int | None:
    """Where the first of these names that is there stands; it has to stand there once."""
    name = next((name for name in names if name in columns), None)
    if name is None:
        return None
    if columns.count(name) > 1:
        found = columns.count(name)
        raise InputError(f"{_name(path)}: the header has the column [{name}] {found} times")
    return columns.index(name)


def _moment(path: str, number: int, text: str) -> float:
    try:
        moment = float(text)
    except ValueError:
        moment = math.nan
    if not math.isfinite(moment):
        raise InputError(f"{_name(path)}, line {number}: expected a time, found [{text[:80]}]")
    return moment


def _name(path: str) -> str:
    return "standard input" if path == "-" else path
