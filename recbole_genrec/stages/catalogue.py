"""The items of a trained model by their raw tokens, where there is no data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from recbole_genrec.errors import InputError, first_few
from recbole_genrec.items.items import Items


class Catalogue:
    """What a model needs to know of a data set when it only answers.

    It stands in for the data set when a model is rebuilt from a checkpoint.

    Args:
        items: as the checkpoint, or the model, has them; it follows where they grow.

    Attributes:
        target_counts: zeros `[n_items]`; what training has counted lies in the model's weights.
    """

    def __init__(self, items: Items) -> None:
        self.items = items
        self.target_counts = torch.zeros(len(items.tokens), dtype=torch.long)
        self._ids: dict[str, int] = {}

    def before_targets(self, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        """None: what training has counted lies in the model's weights."""
        return torch.zeros(0, steps, dtype=torch.long), torch.zeros(0, dtype=torch.long)

    def num(self, field: str) -> int:
        """Number of items, whatever the field: RecBole's models ask for no other."""
        return len(self.items.tokens)

    def title(self, item: int) -> str:
        """What to call an item: its title, or its token where it has none."""
        return (self.items.titles or self.items.tokens)[item]

    def known(self, token: str) -> bool:
        """Whether there is an item of this raw token."""
        return str(token) in self._id_of

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """Internal item ids of raw tokens.

        Raises:
            InputError: naming the tokens that the model does not know.
        """
        tokens = [str(token) for token in tokens]
        unknown = [token for token in tokens if not self.known(token)]
        if unknown:
            raise InputError(
                f"{len(unknown)} of {len(tokens)} items are unknown to the model: "
                f"{first_few(unknown)}"
            )
        return [self._id_of[token] for token in tokens]

    def history(self, tokens: Sequence[str], unknown_items: str, number: int) -> list[int]:
        """Item ids of the history of user `number`, oldest first.

        Args:
            tokens: raw item tokens.
            unknown_items: "error", or "skip" to drop unknown items.
            number: for messages, counted from 1.

        Raises:
            InputError: if an item is unknown or the history is empty, unless unknown items are
                skipped.
        """
        if unknown_items not in ("error", "skip"):
            raise InputError(f"unknown_items: expected 'error' or 'skip', found {unknown_items!r}")
        try:
            if unknown_items == "skip":
                tokens = [token for token in tokens if self.known(token)]
            items = self.ids(tokens)
        except InputError as error:
            raise InputError(f"history {number}: {error}") from None
        if not items and unknown_items == "error":
            raise InputError(f"history {number} is empty: expected at least one known item")
        return items

    @property
    def _id_of(self) -> dict[str, int]:
        tokens = self.items.tokens
        for item in range(len(self._ids) + 1, len(tokens)):  # row 0 is the padding item
            self._ids[tokens[item]] = item
        return self._ids
