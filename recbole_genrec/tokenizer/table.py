"""The one holder of semantic IDs inside a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from recbole_genrec.decoding.trie import ItemTrie
from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs


class SemanticIDTable(nn.Module):
    """The semantic IDs of all items, as the tokens that a model reads and writes.

    All that can be asked of it follows from one buffer, so that no two views of the IDs disagree,
    whatever was replaced, appended or loaded. Whoever has to follow a change gives a function to
    `on_change`.

    Args:
        ids: the semantic IDs to begin with.

    Attributes:
        unique: whether no two items may share an ID; as the IDs to begin with say.
        tokens: `[n_items, L]`, row 0 zeros; saved with the weights. Loading weights takes over
            their IDs, also where there are more or fewer items.
        sizes: number of codes of each level `[L]`.
    """

    tokens: Tensor

    def __init__(self, ids: SemanticIDs) -> None:
        super().__init__()
        self.sizes, self.unique = list(ids.codebook_sizes), ids.unique
        self.register_buffer("tokens", ids.tokens.clone())
        self._ids: SemanticIDs | None = ids
        self._trie: ItemTrie | None = None
        self._restricted: tuple[Tensor, ItemTrie] | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def num_items(self) -> int:
        """Number of rows, that of the padding item included."""
        return len(self.tokens)

    @property
    def num_levels(self) -> int:
        return len(self.sizes)

    @property
    def vocab_size(self) -> int:
        """Number of tokens: one per code of each level, and 0 for padding and decoder start."""
        return 1 + sum(self.sizes)

    @property
    def semantic_ids(self) -> SemanticIDs:
        """The IDs as codes, on the device of the tokens; made when first asked for."""
        if self._ids is None or self._ids.codes.device != self.tokens.device:
            self._ids = SemanticIDs.from_tokens(self.tokens, self.sizes, self.unique)
        return self._ids

    @property
    def codes(self) -> Tensor:
        """Codes `[n_items, L]`, row 0 zeros."""
        return self.semantic_ids.codes

    @property
    def trie(self) -> ItemTrie:
        """The trie of all IDs, on the device of the tokens; built when first asked for."""
        if self._trie is None or self._trie.item.device != self.tokens.device:
            self._trie = ItemTrie(self.tokens)
        return self._trie

    def trie_of(self, allowed: Tensor | None) -> ItemTrie:
        """The trie of some items alone, of all for None; the last one asked for is kept.

        Args:
            allowed: item ids `[m]`.
        """
        if allowed is None:
            return self.trie
        if self._restricted is None or self._restricted[0] is not allowed:
            self._restricted = allowed, self.trie.restrict(allowed)
        return self._restricted[1]

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the IDs are others than before."""
        self._listeners.append(listener)

    def replace(self, ids: SemanticIDs) -> None:
        """Give the items other IDs.

        Raises:
            InputError: for other codebook sizes or another number of items.
        """
        if ids.codebook_sizes != self.sizes or len(ids.codes) != self.num_items:
            raise InputError(
                f"semantic IDs should be of {self.num_items} rows with codebook sizes "
                f"{self.sizes}, found {len(ids.codes)} rows with {ids.codebook_sizes}"
            )
        self._set(ids.tokens)

    def append(self, codes: Tensor) -> None:
        """Add items with these codes `[m, L]`.

        Raises:
            InputError: for codes out of range, or an ID that another item has where IDs are unique.
        """
        longer = torch.cat([self.codes, codes.to(self.tokens.device)])
        self._set(SemanticIDs(longer, self.sizes, self.unique).tokens)

    def _set(self, tokens: Tensor) -> None:
        self.tokens = tokens.to(self.tokens.device, copy=True)
        self._changed()

    def _changed(self) -> None:
        self._ids = self._trie = self._restricted = None
        for listener in self._listeners:
            listener()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        loaded = state_dict.get(f"{prefix}tokens")
        if loaded is None or loaded.shape[1:] != self.tokens.shape[1:]:
            super()._load_from_state_dict(state_dict, prefix, *arguments)  # says what is wrong
            return
        before = self.tokens
        self.tokens = torch.empty_like(before[:1]).repeat(len(loaded), 1)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        if not torch.equal(before, self.tokens):
            SemanticIDs.from_tokens(
                self.tokens, self.sizes, self.unique
            )  # refuses what is no set of IDs
            self._changed()
