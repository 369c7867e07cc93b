"""MovieLens: 100K (`u.data`, `u.item`), 1M (`ratings.dat`, `movies.dat`) and the CSV releases.

https://grouplens.org/datasets/movielens/
"""

from __future__ import annotations

from functools import partial

import pandas as pd

from recbole_genrec.data.prepare.raw.layout import Layout, Source
from recbole_genrec.data.prepare.raw.readers import read_csv, read_plain

RATING = ("user_id", "item_id", "rating", "timestamp")
MOVIE = ("item_id", "title", "genres")
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip
ITEM_100K = ("item_id", "title", "release_date", "video_release_date", "url", *GENRES_100K)


def _genres_of_flags(rows: pd.DataFrame) -> pd.DataFrame:
    flags = rows[list(GENRES_100K)].to_numpy() == "1"
    genres = [[g for g, set_ in zip(GENRES_100K, row, strict=True) if set_] for row in flags]
    return _split_titles(rows[["item_id", "title"]].assign(genres=genres))


def _split_movies(rows: pd.DataFrame) -> pd.DataFrame:
    genres = rows["genres"].replace("(no genres listed)", "").str.split("|")
    return _split_titles(rows.assign(genres=genres))


def _split_titles(rows: pd.DataFrame) -> pd.DataFrame:
    """`Toy Story (1995)` -> title and release year; a title without a year stays as it is."""
    parts = rows["title"].str.strip().str.extract(r"^(.*?)\s*(?:\((\d{4})\))?$")
    return pd.DataFrame(
        {
            "item_id": rows["item_id"],
            "title": parts[0],
            "release_year": parts[1],
            "genres": rows["genres"],
        }
    )


def _plain(header: tuple[str, ...], separator: str) -> partial:
    return partial(read_plain, header=header, separator=separator, encoding="latin-1")


def _same(*columns: str) -> dict[str, str]:
    return {name: name for name in columns}


GENRES = frozenset({"genres"})

ML_100K = Source(
    Layout(_plain(RATING, "\t"), _same(*RATING)),
    Layout(
        _plain(ITEM_100K, "|"), _same("item_id", "title", *GENRES_100K), _genres_of_flags, GENRES
    ),
)
ML_1M = Source(
    Layout(_plain(RATING, "::"), _same(*RATING)),
    Layout(_plain(MOVIE, "::"), _same(*MOVIE), _split_movies, GENRES),
)
ML_LATEST = Source(
    Layout(
        read_csv,
        {"user_id": "userId", "item_id": "movieId", "rating": "rating", "timestamp": "timestamp"},
    ),
    Layout(
        read_csv,
        {"item_id": "movieId", "title": "title", "genres": "genres"},
        _split_movies,
        GENRES,
    ),
)
