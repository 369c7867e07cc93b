"""The items of a trained model: raw tokens, titles and semantic IDs, and how to add more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from recbole_genrec.errors import InputError, first_few
from recbole_genrec.stages.tokenizer import TokenizerStage
from recbole_genrec.tokenizer.base import to_tensor
from recbole_genrec.tokenizer.placement import place_new_items
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs


class Catalogue:
    """What a model needs to know of a data set when it only answers.

    It stands in for the data set when a model is rebuilt from a checkpoint.

    Args:
        stage: the tokenizer stage that the checkpoint carries.

    Attributes:
        item_tokens: raw item tokens `[n_items]`; row 0 is the padding item.
        titles: what to call each item `[n_items]`.
        target_counts: zeros `[n_items]`; what training has counted lies in the model's weights.
    """

    def __init__(self, stage: TokenizerStage) -> None:
        self.tokenizer_stage = stage
        self.item_tokens = list(stage.item_tokens)
        self.titles = list(stage.item_titles or self.item_tokens)
        self.target_counts = torch.zeros(len(self.item_tokens), dtype=torch.long)
        self._id_of = {token: item for item, token in enumerate(self.item_tokens) if item > 0}

    @property
    def semantic_ids(self) -> SemanticIDs:
        return self.tokenizer_stage.semantic_ids

    def num(self, field: str) -> int:
        """Number of items, whatever the field: RecBole's models ask for no other."""
        return len(self.item_tokens)

    def ids(self, tokens: Iterable[str]) -> list[int]:
        """Internal item ids of raw tokens.

        Raises:
            InputError: naming the tokens that the model does not know.
        """
        tokens = [str(token) for token in tokens]
        unknown = [token for token in tokens if token not in self._id_of]
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
                tokens = [token for token in tokens if str(token) in self._id_of]
            items = self.ids(tokens)
        except InputError as error:
            raise InputError(f"history {number}: {error}") from None
        if not items and unknown_items == "error":
            raise InputError(f"history {number} is empty: expected at least one known item")
        return items

    def add(
        self,
        tokens: Sequence[str],
        texts: Sequence[str] | None,
        embeddings: Tensor | np.ndarray | None,
    ) -> tuple[Tensor, Tensor]:
        """Encode new items and append them.

        Returns:
            tokens of their semantic IDs `[m, L]` and their item embeddings `[m, d]`.

        Raises:
            InputError: for no tokens, tokens that are known or repeated, texts or embeddings that
                do not match them, or a stage that cannot encode.
        """
        tokens = [str(token) for token in tokens]
        self._check_new(tokens, texts, embeddings)
        stage = self.tokenizer_stage
        if embeddings is None:
            embeddings = stage.encode_texts(list(texts))
        else:
            embeddings = stage.reduce(to_tensor(embeddings))
        old = stage.semantic_ids
        wanted = stage.encode_items(embeddings)
        new = place_new_items(old.codes[1:], wanted, old.codebook_sizes)
        stage.semantic_ids = SemanticIDs(torch.cat([old.codes, new]), old.codebook_sizes)
        for item, token in enumerate(tokens, len(self.item_tokens)):
            self._id_of[token] = item
        self.item_tokens += tokens
        self.titles += texts or tokens
        return stage.semantic_ids.tokens[-len(tokens) :], embeddings

    def _check_new(self, tokens: list[str], texts, embeddings) -> None:
        if not tokens:
            raise InputError("expected at least one new item")
        known = [token for token in tokens if token in self._id_of]
        if known or len(set(tokens)) < len(tokens):
            found = f"known already: {first_few(known)}" if known else "a token occurs twice"
            raise InputError(f"new items need new tokens, {found}")
        given = [rows for rows in (texts, embeddings) if rows is not None]
        if len(given) != 1:
            raise InputError("new items need either texts or embeddings")
        if len(given[0]) != len(tokens):
            raise InputError(
                f"{len(tokens)} new items, but {len(given[0])} texts or embeddings were given"
            )
