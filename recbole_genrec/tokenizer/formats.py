"""Semantic IDs as JSON files, keyed by raw item token.

Read:   {"B004756YJA": [183, 70, 232, 6], ...}             plain codes, as in item_sids.json
        {"B004756YJA": ["<a_183>", "<b_70>", ...], ...}    LETTER's and LC-Rec's *.index.json
        {"B004756YJA": "<a_183><b_70><c_232><d_6>", ...}   the same tokens as one string
Written: the first two. In "<b_70>" the letter names the level (a = first) and the number the code.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from recbole_genrec.errors import InputError, first_few
from recbole_genrec.files import replacing

FORMS = ("codes", "letter")
MOST_LETTERS = 26  # levels of the second
_TOKENS = re.compile(r"(?:<[a-z]_-?\d+>)+")
_TOKEN = re.compile(r"<([a-z])_(-?\d+)>")


def write_codes(
    path: str | os.PathLike, codes: Tensor, item_tokens: Sequence[str], form: str = "codes"
) -> None:
    """Writes the codes [n, L] of the raw `item_tokens` [n]; `form` is "codes" or "letter"."""
    if form not in FORMS:
        raise InputError(f"unknown form {form!r} of semantic IDs: choose one of {', '.join(FORMS)}")
    if len(codes) != len(item_tokens):
        raise InputError(f"{len(codes)} rows of codes for {len(item_tokens)} item tokens")
    rows = codes.tolist()
    if form == "letter":
        if codes.shape[1] > MOST_LETTERS:
            raise InputError(
                f"form 'letter' has {MOST_LETTERS} letters for levels, not {codes.shape[1]}"
            )
        rows = [[f"<{chr(97 + level)}_{c}>" for level, c in enumerate(row)] for row in rows]
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(dict(zip(item_tokens, rows, strict=True)), file, separators=(",", ":"))


LARGEST = 65_536  # codes of a level, unless there are more items


def read_codes(
    path: str | os.PathLike,
    item_tokens: Sequence[str],
    codebook_sizes: Sequence[int] | None = None,
) -> tuple[Tensor, list[int]]:
    """Reads the codes of the given raw item tokens; two items may still share an ID.

    Args:
        item_tokens: raw tokens [n], without the padding item. The file may hold more items.
        codebook_sizes: number of codes per level [L]; derived from the file (largest code + 1, over
            all items in it) if not given.

    Returns:
        codes LongTensor [n, L] in the order of `item_tokens`, and the codebook sizes.

    Raises:
        InputError: naming the file, the item and the broken rule: not JSON, an item twice, items
            missing, unequal numbers of levels, codes no integers, negative or out of range.
    """
    table = _load_json(path)
    missing = [token for token in item_tokens if token not in table]
    if missing:
        raise InputError(
            f"{path}: no semantic ID for {len(missing)} of {len(item_tokens)} items: "
            f"{first_few(missing)}"
        )
    rows = {token: _parse(path, token, value) for token, value in table.items()}
    num_levels = len(codebook_sizes) if codebook_sizes else len(next(iter(rows.values())))
    for token, row in rows.items():
        if len(row) != num_levels:
            raise InputError(
                f"{path}: item {token!r} has {len(row)} codes, expected {num_levels}"
                + (" (codebook_sizes)" if codebook_sizes else " as the first item of the file")
            )
    everything = torch.tensor(list(rows.values()), dtype=torch.long)  # [items in the file, L]
    if codebook_sizes is None:
        largest = max(LARGEST, len(rows))  # more codes than items are a mistake
        codebook_sizes = (everything.amax(0) + 1).clamp(max=largest).tolist()
    outside = (everything >= torch.tensor(codebook_sizes)).nonzero()
    if len(outside):
        row, level = outside[0].tolist()
        raise InputError(
            f"{path}: item {list(rows)[row]!r} has code {everything[row, level]} "
            f"at level {level + 1}, expected 0 to {codebook_sizes[level] - 1} (codebook_sizes)"
        )
    codes = torch.tensor([rows[token] for token in item_tokens], dtype=torch.long)
    return codes, list(codebook_sizes)


def _load_json(path: str | os.PathLike) -> dict:
    def no_duplicates(pairs: list) -> dict:
        table = dict(pairs)
        if len(table) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise InputError(f"{path}: item {twice!r} occurs more than once")
        return table

    try:
        with open(path, encoding="utf-8") as file:
            table = json.load(file, object_pairs_hook=no_duplicates)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # also of too many digits, and nested too deeply
        raise InputError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(table, dict) or not table:
        raise InputError(f"{path}: expected a JSON object of raw item token -> codes, not empty")
    return table


def _parse(path: str | os.PathLike, token: str, value: object) -> list[int]:
    """The codes of one item in any of the accepted forms."""
    if isinstance(value, str) and _TOKENS.fullmatch(value):
        value = re.findall(r"<[^>]*>", value)
    if not isinstance(value, list) or not value:
        raise InputError(f"{path}: item {token!r} has {value!r}, expected a list of codes")
    codes = []
    for level, code in enumerate(value):
        match = _TOKEN.fullmatch(code) if isinstance(code, str) else None
        if match:
            if match[1] != chr(97 + level):
                raise InputError(
                    f"{path}: item {token!r} has {code!r} at level {level + 1}, "
                    f"expected a token of the form '<{chr(97 + level)}_0>'"
                )
            code = int(match[2])
        if not isinstance(code, int) or isinstance(code, bool):
            raise InputError(
                f"{path}: item {token!r} has {code!r} at level {level + 1}, "
                "expected an integer code"
            )
        if not 0 <= code < 2**31:
            raise InputError(
                f"{path}: item {token!r} has code {code} at level {level + 1}, expected 0 or a "
                "positive code below 2^31"
            )
        codes.append(code)
    return codes
