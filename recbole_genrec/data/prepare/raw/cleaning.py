"""From raw values to what may stand in an atomic file; what may not is left out and counted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import pandas as pd

from recbole_genrec.data.prepare.raw.drops import UNREADABLE_RATING, UNREADABLE_TIME, Drops
from recbole_genrec.errors import InputError

SEQUENCE_SEPARATOR = "|"  # between the values of a `token_seq`: categories consist of several words

# RecBole reads with pandas, which takes these words for a missing value.
MISSING_WORDS = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip


class TimeParser:
    """Times as unix seconds.

    With `time_format` a time is text of this form (that of `datetime.strptime`). Without it a file
    holds either numbers, which stay as they are, or dates of ISO 8601; what its first readable time
    is decides. Times without a zone are in UTC.
    """

    def __init__(self, time_format: str | None = None):
        self.time_format = time_format
        self.numbers: bool | None = None if time_format is None else False

    def __call__(self, times: pd.Series) -> pd.Series:
        """Unix seconds of texts or numbers as float64, NaN where a time cannot be read."""
        if self.numbers is None:
            for self.numbers in (True, False):
                seconds = self(times)
                if seconds.notna().any():
                    return seconds
            self.numbers = None
            return seconds
        if self.numbers:
            return to_numbers(times)
        times = times.str.strip()
        try:
            dates = pd.to_datetime(
                times.where(times.str[:1].str.isdigit() | (self.time_format is not None)),
                format=self.time_format or "ISO8601",  # pandas would also read "now"
                utc=True,
                errors="coerce",
            )
        except ValueError as error:
            raise InputError(f"--time_format={self.time_format}: {error}") from error
        return (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds()


class InteractionCleaner:
    """Brings chunks of interactions to rows that can be written as they are.

    Args:
        drops: where rows that are left out are counted.
        time_format: see `TimeParser`.
        drop_duplicates: leave out rows with the user, item and time of an earlier one; takes about
            100 bytes of memory per interaction.
    """

    def __init__(self, drops: Drops, time_format: str | None, drop_duplicates: bool):
        self.drops = drops
        self.times = TimeParser(time_format)
        self.seen: set[bytes] | None = set() if drop_duplicates else None

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows `user_id, item_id[, rating], timestamp`: IDs as text, the others as float64.

        Who gave no rating has interacted all the same: such a rating is NaN.
        """
        rows = clean_ids(clean_ids(rows, "user_id", self.drops), "item_id", self.drops)
        rows = rows.assign(timestamp=self.times(rows["timestamp"].map(as_text)))
        rows = leave_out(rows, rows["timestamp"].isna(), UNREADABLE_TIME, self.drops)
        if "rating" in rows:
            ratings = rows["rating"].map(as_text).str.strip()
            rows = rows.assign(rating=to_numbers(ratings))
            unreadable = rows["rating"].isna() & ~ratings.isin(MISSING_WORDS)
            rows = leave_out(rows, unreadable, UNREADABLE_RATING, self.drops)
        if self.seen is not None:
            rows = leave_out(rows, _repeated(rows, self.seen), "repeated interaction", self.drops)
        return rows


def _repeated(rows: pd.DataFrame, seen: set[bytes]) -> pd.Series:
    """Whether each row is among the `seen` ones or an earlier row; all are seen afterwards."""
    repeated = []
    for row in zip(rows["user_id"], rows["item_id"], rows["timestamp"], strict=True):
        key = blake2b(repr(row).encode(), digest_size=16).digest()
        repeated.append(key in seen)
        seen.add(key)
    return pd.Series(repeated, rows.index, dtype=bool)


def to_numbers(values: pd.Series) -> pd.Series:
    """Finite float64, NaN where a value is missing or no number."""
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return numbers.where(numbers.abs() < math.inf)


def clean_ids(rows: pd.DataFrame, name: str, drops: Drops) -> pd.DataFrame:
    """Rows whose column `name` holds an ID that RecBole can read back."""
    ids = pd.Series([as_text(value).strip() for value in rows[name]], rows.index, dtype=object)
    rows = rows.assign(**{name: ids})
    rows = leave_out(rows, ids.isin(MISSING_WORDS), f"missing {name}", drops)
    unusable = rows[name].str.contains(r'[\t\n\r\x00"]') | (rows[name] == "[PAD]")
    return leave_out(
        rows, unusable.astype(bool), f"{name} with tab, line break or quote, or [PAD]", drops
    )


def clean_texts(rows: pd.DataFrame, sequences: Iterable[str]) -> pd.DataFrame:
    """Rows `item_id` and texts that can be written as they are."""
    texts = {
        name: [(clean_sequence if name in sequences else clean_text)(v) for v in rows[name]]
        for name in rows.columns.drop("item_id")
    }
    return rows.assign(**texts)


def clean_text(value: Any) -> str:
    """One line without tabs or quotation marks, which an atomic file has no way to quote."""
    text = as_text(value).replace('"', "''").replace("\x00", "")
    return " ".join(text.split())


def clean_sequence(value: Any) -> str:
    """The values of a (nested) list, each once, between separators."""
    values = (clean_text(entry).replace(SEQUENCE_SEPARATOR, "/") for entry in _flat(value))
    return SEQUENCE_SEPARATOR.join(dict.fromkeys(filter(None, values)))


def as_text(value: Any) -> str:
    """A raw value as text; "" for a missing one, 17 for 17.0, lists with commas."""
    if isinstance(value, str):
        return value if value.isascii() else _whole_characters(value)
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return ", ".join(filter(None, map(as_text, value)))
    if isinstance(value, dict):
        return as_text(json.dumps(value, ensure_ascii=False, default=str))
    return str(value)


def _whole_characters(text: str) -> str:
    """Without the halves of characters that JSON may hold and UTF-8 may not."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def leave_out(rows: pd.DataFrame, bad: pd.Series, reason: str, drops: Drops) -> pd.DataFrame:
    """The rows that are not `bad`; the others are counted under `reason`."""
    if bad.any():
        drops.add(reason, rows.index[bad])
        rows = rows[~bad]
    return rows


def _flat(value: Any) -> Iterable[Any]:
    if isinstance(value, (list, tuple)):
        for entry in value:
            yield from _flat(entry)
    else:
        yield value
