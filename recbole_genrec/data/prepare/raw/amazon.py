"""The Amazon review data of 2014, 2018 and 2023 as their authors publish them.

Reviews and metadata are JSON lines (`.json`, `.json.gz`, `.jsonl.gz`), in 2014 also lines of Python
literals; the ratings-only files are CSV. https://cseweb.ucsd.edu/~jmcauley/datasets.html (2014 and
2018), https://amazon-reviews-2023.github.io (2023).
"""

from __future__ import annotations

import html
import re
from functools import partial

import pandas as pd

from recbole_genrec.data.prepare.raw.layout import Layout, Source
from recbole_genrec.data.prepare.raw.readers import (
    parse_loose_json,
    read_csv,
    read_json_lines,
    read_plain,
)
from recbole_genrec.errors import InputError

REVIEW = {
    "user_id": "reviewerID", "item_id": "asin", "rating": "overall", "timestamp": "unixReviewTime",
}  # fmt: skip
REVIEW_2023 = {
    "user_id": "user_id", "item_id": "parent_asin", "rating": "rating", "timestamp": "timestamp",
}  # fmt: skip
RATING = ("user_id", "item_id", "rating", "timestamp")
RATING_2018 = ("item_id", "user_id", "rating", "timestamp")

META_2014 = {
    "item_id": "asin", "title": "title", "brand": "brand", "categories": "categories",
    "description": "description",
}  # fmt: skip
META_2018 = {**META_2014, "categories": "category", "features": "feature"}
META_2023 = {
    "item_id": "parent_asin", "title": "title", "brand": "store", "categories": "categories",
    "features": "features", "description": "description",
}  # fmt: skip


def _check_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Users stand first in 2014 and items in 2018: a product number has exactly ten characters."""
    lengths = {name: rows[name].str.len() for name in ("user_id", "item_id")}
    if (lengths["user_id"] == 10).mean() > 0.5 > (lengths["item_id"] == 10).mean():
        raise InputError(
            "users and items are the other way round: amazon2014 has user,item and amazon2018 "
            f"item,user; the first row reads {rows.iloc[0].tolist()} as {list(rows.columns)}"
        )
    return rows


def _milliseconds_to_seconds(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(timestamp=pd.to_numeric(rows["timestamp"], errors="coerce") / 1000)


def _clean_texts(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(
        **{name: rows[name].map(_plain_text) for name in rows.columns.drop("item_id")}
    )


def _plain_text(value):
    """Text without HTML; some titles and brands of 2018 are the script of a page instead."""
    if isinstance(value, (list, tuple)):
        return [_plain_text(entry) for entry in value]
    if not isinstance(value, str):
        return value
    if "getTime" in value:
        return ""
    return html.unescape(re.sub(r"<[^<>]*>", " ", value) if "<" in value else value)


LOOSE_JSON = partial(read_json_lines, parse=parse_loose_json)


def _ratings(header: tuple[str, ...]) -> Layout:
    """A ratings-only file of 2014 or 2018, which has no header line."""
    reader = partial(read_plain, header=header, separator=",")
    return Layout(reader, {name: name for name in RATING}, convert=_check_order)


def _items(columns: dict[str, str]) -> Layout:
    """`meta_X.json.gz`; what a product lacks may be missing from its line."""
    texts = [theirs for ours, theirs in columns.items() if ours != "item_id"]
    reader = partial(LOOSE_JSON, optional=texts)
    return Layout(reader, columns, _clean_texts, sequences=frozenset({"categories"}))


AMAZON_2014 = Source(
    Layout(LOOSE_JSON, REVIEW), _items(META_2014), ratings=_ratings(RATING), core=5
)
AMAZON_2018 = Source(
    Layout(LOOSE_JSON, REVIEW), _items(META_2018), ratings=_ratings(RATING_2018), core=5
)
AMAZON_2023 = Source(
    Layout(read_json_lines, REVIEW_2023, convert=_milliseconds_to_seconds),
    _items(META_2023),
    ratings=Layout(read_csv, REVIEW_2023, convert=_milliseconds_to_seconds),
    core=5,
)
