"""The semantic ID of every item: what tokenizers produce and generative models speak."""

import os
import pickle
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.files import replacing
from recbole_genrec.plain import save_tensors
from recbole_genrec.tokenizer.formats import read_codes, write_codes
from recbole_genrec.tokenizer.prefixes import group_rows, rank_in_group


def first_tokens(codebook_sizes: Sequence[int], device: torch.device | None = None) -> Tensor:
    """The token of code 0 of each level `[L]`; token 0 is that of padding.

    >>> first_tokens([4, 3, 2]).tolist()
    [1, 5, 8]
    """
    return torch.tensor([1, *codebook_sizes[:-1]], device=device).cumsum(0)


class SemanticIDs:
    """One code tuple per item.

    Args:
        codes: LongTensor [n_items, L]; row = RecBole's internal item id, so row 0 belongs to the
            padding item and holds zeros.
        codebook_sizes: number of codes per level [L].
        unique: whether no two items may share an ID (see `resolve_collisions`).

    Raises:
        InputError: when a code is out of range, or two items share an ID where they may not.
    """

    def __init__(self, codes: Tensor, codebook_sizes: Sequence[int], unique: bool = True):
        self.codes = codes.long()
        self.codebook_sizes = [int(size) for size in codebook_sizes]
        self.unique = unique
        self._check()

    def _check(self) -> None:
        if self.codes.dim() != 2 or self.codes.shape[1] != len(self.codebook_sizes):
            raise InputError(
                f"semantic IDs of shape {list(self.codes.shape)} do not fit "
                f"{len(self.codebook_sizes)} codebook sizes: expected [n_items, number of levels]"
            )
        if len(self.codes) < 2:
            raise InputError(
                "semantic IDs of no item: expected row 0 for padding and one row per item"
            )
        if self.codes[0].any():
            raise InputError(
                f"row 0 belongs to the padding item: expected zeros, got {self.codes[0].tolist()}"
            )
        sizes = torch.tensor(self.codebook_sizes, device=self.codes.device)
        outside = ((self.codes < 0) | (self.codes >= sizes)).nonzero()
        if len(outside):
            item, level = outside[0].tolist()
            raise InputError(
                f"item {item} has code {self.codes[item, level]} at level {level + 1}, "
                f"expected 0 to {self.codebook_sizes[level] - 1}"
            )
        if not self.unique:
            return
        shared = group_rows(self.codes[1:])
        repeats = (rank_in_group(shared) > 0).nonzero().flatten()
        if len(repeats):
            first, second = (shared == shared[repeats[0]]).nonzero()[:2, 0].tolist()
            raise InputError(
                f"{len(repeats)} of {len(shared)} items repeat the semantic ID of another one "
                f"(items {first + 1} and {second + 1} have {self.codes[first + 1].tolist()}): "
                "resolve collisions first"
            )

    @property
    def num_levels(self) -> int:
        return self.codes.shape[1]

    @property
    def vocab_size(self) -> int:
        """Number of tokens: one per code of each level, and 0 for padding and decoder start."""
        return 1 + sum(self.codebook_sizes)

    @cached_property
    def tokens(self) -> Tensor:
        """[n_items, L]: code c of level l is token 1 + K_1 + ... + K_{l-1} + c; row 0 is zeros."""
        tokens = self.codes + first_tokens(self.codebook_sizes, self.codes.device)
        tokens[0] = 0
        return tokens

    @classmethod
    def from_tokens(
        cls, tokens: Tensor, codebook_sizes: Sequence[int], unique: bool = True
    ) -> "SemanticIDs":
        """The semantic IDs whose `tokens` these are, `[n_items, L]`."""
        codes = tokens - first_tokens(codebook_sizes, tokens.device)
        codes[:1] = 0  # the padding item has token 0 and code 0
        return cls(codes, codebook_sizes, unique)

    def state(self) -> dict[str, Any]:
        """Its arguments, for a file."""
        return {
            "codes": self.codes.cpu(),
            "codebook_sizes": self.codebook_sizes,
            "unique": self.unique,
        }

    def save(self, path: str | os.PathLike) -> None:
        """Writes a file that `load` reads back; an existing one is never left half-written."""
        with replacing(path) as temporary:
            save_tensors(self.state(), temporary)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "SemanticIDs":
        """Reads what `save` wrote; raises InputError naming the file if it holds anything else."""
        try:
            content = torch.load(path, weights_only=True)
            return cls(**content)
        except FileNotFoundError:
            raise
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, OSError,
                pickle.UnpicklingError) as error:  # fmt: skip
            raise InputError(f"{path}: not a file of semantic IDs ({error})") from error

    def to_json(
        self, path: str | os.PathLike, item_tokens: Sequence[str], form: str = "codes"
    ) -> None:
        """Exports raw token -> codes; `item_tokens` [n_items] starts with the padding item's.

        `form` is "codes" ([183, 70, 232]) or "letter" (["<a_183>", "<b_70>", "<c_232>"]).
        """
        write_codes(path, self.codes[1:], item_tokens[1:], form)

    @classmethod
    def from_json(
        cls,
        path: str | os.PathLike,
        item_tokens: Sequence[str],
        codebook_sizes: Sequence[int] | None = None,
    ) -> "SemanticIDs":
        """Imports unique IDs; `item_tokens` [n_items] starts with the padding item's.

        IDs that may collide are read with `formats.read_codes` and go through `resolve_collisions`.
        """
        codes, sizes = read_codes(path, item_tokens[1:], codebook_sizes)
        try:
            return cls(torch.cat([torch.zeros_like(codes[:1]), codes]), sizes)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
