"""The search for titles against reading them one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_genrec.items.items import Items
from recbole_genrec.serve.titles import TitleSearch

FILMS = ["Star Wars", "Return of the Jedi", "The Star", "Wars, Star", "Straße", "star wars: new"]
ITEMS = Items(["[PAD]", *map(str, range(10, 16))], ["[PAD]", *FILMS])


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("star wars", ["10", "15", "13"]),  # those that begin with it come first
        ("WARS star", ["10", "13", "15"]),
        ("  jedi  return ", ["11"]),
        ("strasse", ["14"]),
        ("12", ["12"]),  # a token
        ("", ["10", "11", "12", "13", "14", "15"]),
        ("\n", ["10", "11", "12", "13", "14", "15"]),
        ("[pad]", []),
        ("wars new old", []),
    ],
)
def test_examples(query, items):
    assert [found["item"] for found in TitleSearch(ITEMS)(query, 10)] == items


def test_no_more_than_asked_for():
    assert TitleSearch(ITEMS)("star", 2) == [
        {"item": "10", "title": "Star Wars"},
        {"item": "15", "title": "star wars: new"},
    ]


words = st.text("ab \nC", max_size=6)


@given(st.lists(words, max_size=8), words, st.integers(1, 9))
def test_it_finds_what_reading_every_title_finds(titles, query, limit):
    items = Items(["[PAD]", *(f"#{n}" for n in range(len(titles)))], ["[PAD]", *titles])
    folded = [" ".join(title.lower().split()) for title in titles]
    wanted = query.lower().split()
    having = [n for n, title in enumerate(folded) if all(word in title for word in wanted)]
    first = [n for n in having if folded[n].startswith(" ".join(wanted))]
    expected = [*first, *(n for n in having if n not in first)][:limit]
    assert [f["item"] for f in TitleSearch(items)(query, limit)] == [f"#{n}" for n in expected]


def test_tokens_stand_for_titles_where_there_are_none():
    assert TitleSearch(Items(["[PAD]", "a-1", "b-2"]))("B", 5) == [{"item": "b-2", "title": "b-2"}]
