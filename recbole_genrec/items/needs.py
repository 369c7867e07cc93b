"""What a model may ask of the items before it is built; `recbole_genrec.stages` delivers it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from recbole_genrec.tokenizer.registry import tokenizer_class

TEXT = "text"
COLLABORATIVE = "collaborative"
BOTH = "both"
SIDES = {BOTH: (TEXT, COLLABORATIVE)}  # of embeddings that are others side by side


class Embeddings(NamedTuple):
    """Embeddings of all items, found afterwards as `items.embeddings[name]`.

    Attributes:
        name: "text" (of the item texts, or of `item_embedding_file` in their place),
            "collaborative" (of a sequential model of the same data and split) or "both" side by
            side.
    """

    name: str = TEXT


class Tokens(NamedTuple):
    """A set of semantic IDs, found afterwards as `items.ids[name]`.

    Attributes:
        name: empty for the only or main set of a model. The settings of another set start with its
            name (`behavior_tokenizer`, `behavior_codebook_sizes`); those that are not given are the
            main set's.
        embeddings: name of the embeddings that the codes are made from.
        unique: whether the model tells items apart by these IDs alone; otherwise items may share
            them (`collision: keep`).
    """

    name: str = ""
    embeddings: str = TEXT
    unique: bool = True


Need = Embeddings | Tokens


def main_set(config, unique: bool = True) -> Tokens:
    """The main set of semantic IDs, made of the embeddings that `id_embeddings` says."""
    return Tokens("", config["id_embeddings"], unique)


def with_embeddings(needs: Iterable[Need], config) -> list[Need]:
    """The needs, each once and after the embeddings that it is made from.

    Raises:
        InputError: if there is no such tokenizer.
    """
    wanted: list[Need] = []
    for need in needs:
        before = _embeddings_of(need, config) if isinstance(need, Tokens) else []
        for one in (*before, need):
            sides = SIDES.get(one.name, ()) if isinstance(one, Embeddings) else ()
            wanted += [new for new in (*map(Embeddings, sides), one) if new not in wanted]
    return wanted


def _embeddings_of(need: Tokens, config) -> list[Embeddings]:
    if set_setting(config, need.name, "sid_file"):  # embeddings only serve the quality report
        given = need.embeddings == TEXT and config["item_embedding_file"]
        return [Embeddings(TEXT)] if given else []
    tokenizer = tokenizer_class(set_setting(config, need.name, "tokenizer"))
    return [Embeddings(name) for name in dict.fromkeys((need.embeddings, *tokenizer.side))]


def set_setting(config, name: str, key: str, default: Any = None) -> Any:
    """A setting of a set of semantic IDs.

    That of the set `behavior` is `behavior_<key>`; where it is not given, the main set's `<key>`
    counts, but for `sid_file`, which holds the IDs of one set.
    """
    own = f"{name}_{key}" if name else key
    keys = (own,) if key == "sid_file" else (own, key)
    return next((config[key] for key in keys if key in config), default)
