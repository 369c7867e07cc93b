"""Items by words of their titles."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, chain, islice

from recbole_genrec.items.items import Items


class TitleSearch:
    """Finds items by their titles in one text of all of them, fast enough for millions.

    Upper and lower case are the same. Where items have no titles, their tokens are searched.

    Args:
        items: of the model; row 0, the padding item, is never found.
    """

    def __init__(self, items: Items) -> None:
        self.tokens = items.tokens
        self.titles = items.titles or items.tokens
        self._item_of = {token: item for item, token in enumerate(self.tokens) if item}
        lines = ["", *(_folded(title) for title in self.titles[1:])]
        self._text = "\n".join([*lines, ""])  # line = item; each stands between two line breaks
        self._starts = [0, *accumulate(len(line) + 1 for line in lines)]

    def __call__(self, query: str, limit: int) -> list[dict[str, str]]:
        """Items `{"item", "title"}` with all words of the query in their titles.

        First the item whose token is the query, then titles that begin with it, then others; equal
        ones in the order of the catalogue. An empty query finds the first items.
        """
        exact = [self._item_of[query]] if query in self._item_of else []
        words = sorted(_folded(query).split(), key=len, reverse=True) or [""]
        found = chain(
            exact, self._lines("\n" + _folded(query), words), self._lines(words[0], words)
        )
        items = islice(dict.fromkeys(islice(found, 3 * limit)), limit)  # each may occur thrice
        return [{"item": self.tokens[item], "title": self.titles[item]} for item in items]

    def _lines(self, sought: str, words: list[str]) -> Iterator[int]:
        """Items in whose lines `sought` begins or, after its line break, and all words occur."""
        place = 0
        while sought and (place := self._text.find(sought, place)) >= 0:
            item = bisect_right(self._starts, place + sought.startswith("\n")) - 1
            if item >= len(self.tokens):
                return
            start, place = self._starts[item], self._starts[item + 1] - 1
            line = self._text[start:place]
            if item and all(word in line for word in words):
                yield item


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
