"""What a model may ask of the items before it is built; `recbole_genrec.stages` delivers it."""

from __future__ import annotations

from typing import NamedTuple

TEXT = "text"
COLLABORATIVE = "collaborative"


class Embeddings(NamedTuple):
    """Embeddings of all items, found afterwards as `items.embeddings[name]`.

    Attributes:
        name: "text" (of the item texts, or of `item_embedding_file` in their place) or
            "collaborative" (of a sequential model of the same data and split).
    """

    name: str = TEXT


class Tokens(NamedTuple):
    """A set of semantic IDs, found afterwards as `items.ids[name]`.

    Attributes:
        name: empty for the only or main set of a model. The settings of another set start with its
            name (`behavior_tokenizer`, `behavior_codebook_sizes`); those that are not given are the
            main set's.
        embeddings: name of the embeddings that the codes are made from.
    """

    name: str = ""
    embeddings: str = TEXT


Need = Embeddings | Tokens
