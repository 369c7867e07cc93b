"""The Yelp Open Dataset: `review.json` and `business.json`, one object per line.

https://business.yelp.com/data/resources/open-dataset/
"""

from __future__ import annotations

from functools import partial

import pandas as pd

from recbole_genrec.data.prepare.raw.layout import Layout, Source
from recbole_genrec.data.prepare.raw.readers import read_json_lines

REVIEW = {"user_id": "user_id", "item_id": "business_id", "rating": "stars", "timestamp": "date"}
BUSINESS = {
    "item_id": "business_id", "title": "name", "categories": "categories", "city": "city",
    "state": "state",
}  # fmt: skip


def _split_categories(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(
        categories=[
            value.split(", ") if isinstance(value, str) else [] for value in rows["categories"]
        ]
    )


YELP = Source(
    Layout(read_json_lines, REVIEW),
    Layout(
        partial(read_json_lines, optional=("name", "categories", "city", "state")),
        BUSINESS,
        convert=_split_categories,
        sequences=frozenset({"categories"}),
    ),
    core=5,
)
