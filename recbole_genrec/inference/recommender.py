"""Recommendations for new histories from a trained checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from recbole_genrec import compat  # noqa: F401  (first, as it says how to get RecBole)

# isort: split
import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from recbole_genrec.errors import InputError, first_few
from recbole_genrec.inference.beam import Prefix, surviving_prefixes
from recbole_genrec.inference.restore import restore
from recbole_genrec.inference.scoring import ScoringModel
from recbole_genrec.items.needs import TEXT
from recbole_genrec.model.generative_recommender import GenerativeRecommender
from recbole_genrec.model.semantic_id_recommender import SemanticIDRecommender
from recbole_genrec.stages.catalogue import Catalogue
from recbole_genrec.tokenizer.base import to_tensor


class Recommender:
    """A trained sequential model that can be asked what comes next.

    >>> recommender = Recommender.from_checkpoint("saved/TIGER.pth")  # doctest: +SKIP
    >>> recommender.recommend([["50", "181", "172"]], top_k=1)  # doctest: +SKIP
    [[{'item': '174', 'title': 'Raiders of the Lost Ark', 'log_probability': -3.1, ...}]]

    Args:
        model: a model with semantic IDs, or one that scores every item.
    """

    def __init__(self, model: SemanticIDRecommender | ScoringModel) -> None:
        self.model = model.eval()
        self.catalogue = Catalogue(model.items)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, device: str | torch.device | None = None
    ) -> Recommender:
        """Restore what training has saved, see `restore`.

        Args:
            path: the checkpoint of a model of this package, or of a sequential one of RecBole.
            device: defaults to a GPU if there is one.

        Raises:
            InputError: if the file is no sound checkpoint of a sequential model.
        """
        return cls(restore(path, device))

    @property
    def name(self) -> str:
        """The name of the model."""
        return (
            self.model.name if isinstance(self.model, ScoringModel) else type(self.model).__name__
        )

    @property
    def num_items(self) -> int:
        """Number of items that can be recommended."""
        return self.catalogue.num("item") - 1

    @property
    def searches_by_beam(self) -> bool:
        """Whether the model writes semantic IDs code by code, so that `beam` shows how."""
        return isinstance(self.model, GenerativeRecommender)

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        top_k: int = 10,
        exclude_history: bool = False,
        allowed_items: Iterable[str] | None = None,
        unknown_items: str = "error",
        batch_size: int = 1024,
        explain: bool = False,
    ) -> list[list[dict[str, Any]]]:
        """The most likely next items of each history, best first.

        Args:
            histories: raw item tokens per user, oldest first; the model reads the most recent
                `MAX_ITEM_LIST_LENGTH`.
            top_k: number of items per user; fewer where fewer are allowed.
            exclude_history: leave out what stands in the whole history of the user.
            allowed_items: recommend these raw item tokens only, such as a category or the stock.
            unknown_items: "error", or "skip" to drop items of a history that the model lacks.
            batch_size: users per forward pass.
            explain: say what each score is the sum of.

        Returns:
            per user a list of `{"item", "title", "log_probability", "semantic_id"}`, with "score"
            in the place of the log-probability for models that give none, and without semantic ID
            for those that have none; with `explain` also "parts", name -> share of the score; an
            empty list where "skip" has left nothing of the history.

        Raises:
            InputError: naming unknown items or the history that is empty; and for `explain` where
                scores are no sums.
        """
        known, allowed = self._asked(histories, top_k, allowed_items, unknown_items)
        results: list[list[dict[str, Any]]] = [[] for _ in known]
        excluded = [set(history) if exclude_history else set() for history in known]
        widths = [self._width(top_k, len(items), allowed) for items in excluded]
        for numbers in _batches(known, widths, batch_size):
            batch = self._interaction([known[number] for number in numbers])
            items, scores = self.model.recommend(batch, widths[numbers[0]], allowed)
            parts = self._parts(batch, items) if explain else None
            for row, number in enumerate(numbers):
                results[number] = self._describe(
                    items[row].tolist(),
                    scores[row].tolist(),
                    None if parts is None else parts[row],
                    excluded[number],
                    top_k,
                )
        return results

    def _parts(self, batch: Interaction, items: Tensor) -> list[list[dict[str, float]]]:
        """What the score of each item is the sum of, for items `[batch, k]`."""
        parts = self.model.explain(batch, items)
        values = torch.stack(list(parts.values()), 2).tolist()  # [batch, k, number of parts]
        return [[dict(zip(parts, each, strict=True)) for each in row] for row in values]

    def beam(
        self,
        history: Sequence[str],
        top_k: int = 10,
        exclude_history: bool = False,
        allowed_items: Iterable[str] | None = None,
        unknown_items: str = "error",
    ) -> list[list[Prefix]]:
        """How the search for `recommend([history], ...)` goes down the codes.

        Returns:
            for each level the prefixes of semantic IDs that survive, best first; those of the last
            level are whole IDs. With `exclude_history` the search is as much wider as it has to be,
            and finds those of the history too: `recommend` leaves them out of its list. None where
            "skip" has left nothing of the history.

        Raises:
            InputError: as of `recommend`; and for a model that does not search by beam.
        """
        model = self.model
        if not isinstance(model, GenerativeRecommender):
            raise InputError(f"{self.name} scores all items at once: there is no beam to see")
        ((items,), allowed) = self._asked([history], top_k, allowed_items, unknown_items)
        if not items:
            return []
        width = self._width(top_k, len(set(items)) if exclude_history else 0, allowed)
        beams, trie = max(width, model.beam_size), model.ids.trie_of(allowed)
        return surviving_prefixes(model, self._interaction([items]), beams, trie)

    def check(
        self,
        histories: Sequence[Sequence[str]],
        top_k: int = 10,
        allowed_items: Iterable[str] | None = None,
        unknown_items: str = "error",
    ) -> None:
        """Raise the InputError that `recommend` would raise for these arguments, if any."""
        self._asked(histories, top_k, allowed_items, unknown_items)

    def _asked(
        self,
        histories: Sequence[Sequence[str]],
        top_k: int,
        allowed_items: Iterable[str] | None,
        unknown_items: str,
    ) -> tuple[list[list[int]], Tensor | None]:
        """Item ids of each history, none where "skip" has left nothing, and those allowed `[m]`."""
        if not isinstance(top_k, int) or top_k < 1:
            raise InputError(f"top_k: expected an integer of at least 1, found {top_k!r}")
        if isinstance(histories, str) or any(isinstance(history, str) for history in histories):
            raise InputError(f"histories: expected a list of items per user, found {histories!r}")
        known = [self.catalogue.history(h, unknown_items, n) for n, h in enumerate(histories, 1)]
        return known, None if allowed_items is None else self._allowed(allowed_items)

    def _allowed(self, tokens: Iterable[str]) -> Tensor:
        """Item ids `[m]`, each once."""
        try:
            allowed = self.catalogue.ids(tokens)
        except InputError as error:
            raise InputError(f"allowed_items: {error}") from None
        if not allowed:
            raise InputError("allowed_items is empty: expected at least one item")
        return torch.tensor(allowed, device=self.model.device).unique()

    def _width(self, top_k: int, excluded: int, allowed: Tensor | None) -> int:
        """The number of items to ask the model for, of which so many are taken out."""
        choices = self.num_items if allowed is None else len(allowed)
        return self.model.search_width(self.model.width_to_mask(top_k, excluded), choices)

    def _interaction(self, histories: list[list[int]]) -> Interaction:
        length = self.model.max_seq_length
        recent = [torch.tensor(history[-length:]) for history in histories]
        padded = pad_sequence(recent, batch_first=True)
        batch = {
            self.model.ITEM_SEQ: pad(padded, (0, length - padded.shape[1])),
            self.model.ITEM_SEQ_LEN: torch.tensor([len(history) for history in recent]),
        }
        return Interaction(batch).to(self.model.device)

    def _describe(
        self,
        items: list[int],
        scores: list[float],
        parts: list[dict[str, float]] | None,
        excluded: set[int],
        top_k: int,
    ) -> list[dict[str, Any]]:
        places = [n for n, item in enumerate(items) if item > 0 and item not in excluded]
        codes = self.model.semantic_codes().get("")
        return [
            {
                "item": self.catalogue.items.tokens[items[place]],
                "title": self.catalogue.title(items[place]),
                self.model.score_name: scores[place],
                **({} if codes is None else {"semantic_id": codes[items[place]].tolist()}),
                **({} if parts is None else {"parts": parts[place]}),
            }
            for place in places[:top_k]
        ]

    def add_items(
        self,
        tokens: Sequence[str],
        texts: Sequence[str] | None = None,
        embeddings: Tensor | np.ndarray | None = None,
    ) -> None:
        """Make new items known without training: they can be recommended and stand in histories.

        The tokenizer that made the other semantic IDs encodes them; where its ID is taken, an item
        gets the nearest free one, which keeps as many leading codes as possible.

        Args:
            tokens: raw tokens of the new items.
            texts: their texts, for the text encoder of the checkpoint; or
            embeddings: their item embeddings `[n, d]`.

        Raises:
            InputError: for tokens already known, a checkpoint without tokenizer or encoder, or a
                model with a weight for each item and no semantic IDs.
        """
        if isinstance(self.model, ScoringModel):
            known = "knows the items that it was trained on alone"
            raise InputError(f"new items: {self.name} {known}")
        items = self.catalogue.items
        if "" not in items.tokenizers:
            known = "its semantic IDs were given (sid_file), and no tokenizer makes further ones"
            raise InputError(
                f"new items: {self.name} knows those it was trained with alone: {known}"
            )
        tokens = [str(token) for token in tokens]
        self._check_new(tokens, texts, embeddings)
        if embeddings is None:
            vectors = items.encode_texts(list(texts or ()))
        else:
            vectors = items.reduce(to_tensor(embeddings))
        self.model.add_items(tokens, texts or tokens, {TEXT: vectors})

    def _check_new(self, tokens: list[str], texts, embeddings) -> None:
        if not tokens:
            raise InputError("expected at least one new item")
        faults = {
            "known already": [token for token in tokens if self.catalogue.known(token)],
            "more than once": [token for token, number in Counter(tokens).items() if number > 1],
            "that no data file can hold": [token for token in tokens if not _is_writable(token)],
        }
        for fault, found in faults.items():
            if found:
                raise InputError(f"new items need new tokens, found {fault}: {first_few(found)}")
        given = [rows for rows in (texts, embeddings) if rows is not None]
        if len(given) != 1:
            raise InputError("new items need either texts or embeddings")
        if len(given[0]) != len(tokens):
            raise InputError(
                f"{len(tokens)} new items, but {len(given[0])} texts or embeddings were given"
            )


def _is_writable(token: str) -> bool:
    return token not in ("", "[PAD]") and not set(token) & set("\t\n\r\x00")


def _batches(histories: list[list[int]], widths: list[int], batch_size: int) -> Iterator[list[int]]:
    """Numbers of users with a history, by beam width: none gets more beams than it would alone."""
    answered = [number for number, history in enumerate(histories) if history]
    for _, group in groupby(sorted(answered, key=widths.__getitem__), key=widths.__getitem__):
        numbers = list(group)
        for start in range(0, len(numbers), batch_size):
            yield numbers[start : start + batch_size]
