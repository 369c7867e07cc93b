"""Files of histories and of new items, as users write them."""

from __future__ import annotations

import csv
import json
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

    Either JSON lines, `{"user": "u1", "history": ["a", "b"]}` with an optional user, or CSV with
    the columns `user` and `item`, one interaction a row, oldest first.

    Raises:
        InputError: naming the file and the line that is neither.
    """
    lines = _lines(path)
    if not lines:
        raise InputError(f"{_name(path)} holds no history")
    if lines[0][1].lstrip().startswith("{"):
        return [_json_history(path, number, line) for number, line in lines]
    return _csv_histories(path, [line for _, line in lines])


def read_new_items(path: str) -> tuple[list[str], list[str]]:
    """Raw tokens and texts of new items from JSON lines `{"item": "token", "text": "..."}`.

    Raises:
        InputError: naming the file without items, or the file and the line that is something else.
    """
    tokens, texts = [], []
    for number, line in _lines(path):
        record = _record(path, number, line)
        if not isinstance(record.get("text"), str) or "item" not in record:
            raise InputError(
                f'{_name(path)}, line {number}: expected {{"item": "token", "text": "..."}}, '
                f"found {line.strip()[:80]}"
            )
        tokens.append(str(record["item"]))
        texts.append(record["text"])
    if not tokens:
        raise InputError(f"{_name(path)} holds no new item")
    return tokens, texts


def read_tokens(path: str) -> list[str]:
    """Raw item tokens, one per line."""
    return [line.strip() for _, line in _lines(path)]


def _lines(path: str) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    if path == "-":
        text = sys.stdin.read()
    else:
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from None
    return [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]


def _record(path: str, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
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


def _csv_histories(path: str, lines: list[str]) -> list[History]:
    rows = csv.DictReader(lines, skipinitialspace=True)
    columns = rows.fieldnames or []
    if not {"user", "item"} <= set(columns):
        raise InputError(
            f"{_name(path)}: expected JSON lines or CSV with the columns user and item, "
            f"found the columns {', '.join(columns)}"
        )
    histories: dict[str, list[str]] = {}
    for user, item in _interactions(path, rows):
        histories.setdefault(user, []).append(item)
    return [History(user, items) for user, items in histories.items()]


def _interactions(path: str, rows: csv.DictReader) -> Iterator[tuple[str, str]]:
    for number, row in enumerate(rows, 1):
        if not row["user"] or not row["item"]:
            raise InputError(f"{_name(path)}, interaction {number}: user or item is missing")
        yield row["user"], row["item"]


def _name(path: str) -> str:
    return "standard input" if path == "-" else path
