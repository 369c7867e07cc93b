"""A few test cases in full: history, target and what every model recommended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.recommendations import Recommendations
from recbole_genrec.items.texts import read_items

LIST_SHOWN = 5  # items of each list
KINDS = (("some", 4), ("all", 2), ("none", 2))  # which models hit, and how many such cases


def pick_examples(
    lists: Mapping[str, Recommendations], config: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Test cases in which some, all and none of the models have the target in the list shown.

    Cases of one kind are taken at equal distances from all there are, so nobody chose them.

    Args:
        lists: model name -> aligned recommendations.
        config: settings of a run, to find the titles of items.

    Returns:
        per case `user`, `hit_by` ("some", "all", "none"), `history` and `target` and `lists` (model
        name -> top items); an item is `{"item": raw token, "title": text or None}`.
    """
    first = next(iter(lists.values()))
    titles = _titles(config, first.item_tokens.tolist())

    def describe(item: int) -> dict[str, Any]:
        title = titles[item] if titles else None
        return {"item": str(first.item_tokens[item]), "title": title or None}

    hits = np.stack([(run.ranks > 0) & (run.ranks <= LIST_SHOWN) for run in lists.values()])
    number = hits.sum(axis=0)  # [n], models that hit
    of_kind = {
        "some": (number > 0) & (number < len(lists)),
        "all": number == len(lists),
        "none": number == 0,
    }
    histories = next((run.histories for run in lists.values() if run.histories.shape[1]), None)
    examples = []
    for kind, wanted in KINDS:
        for case in _spread(np.flatnonzero(of_kind[kind]), wanted):
            history = [] if histories is None else histories[case]
            examples.append(
                {
                    "user": str(first.users[case]),
                    "hit_by": kind,
                    "history": [describe(item) for item in history if item > 0],
                    "target": describe(first.targets[case]),
                    "lists": {
                        name: [describe(item) for item in run.items[case, :LIST_SHOWN] if item > 0]
                        for name, run in lists.items()
                    },
                }
            )
    return examples


def _spread(cases: np.ndarray, wanted: int) -> np.ndarray:
    if len(cases) <= wanted:
        return cases
    return cases[np.arange(wanted) * len(cases) // wanted]


def _titles(config: Mapping[str, Any], item_tokens: list[str]) -> list[str] | None:
    """Titles from the files of the data set, None where there are none."""
    try:
        return read_items(defaultdict(lambda: None, config), item_tokens).titles
    except InputError:
        return None
