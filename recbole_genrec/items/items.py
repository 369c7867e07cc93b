"""The items of a data set as generative models know them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.tokenizer.base import ItemTokenizer
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs


@dataclass
class Items:
    """What is known of the items of a data set; row 0 of everything is the padding item.

    Attributes:
        tokens: raw token of every item `[n_items]`, index = internal id.
        titles: what to call every item `[n_items]`; None where no name is known.
        embeddings: by name, see `needs.Embeddings`; their `vectors` are `[n_items, d]`.
        ids: semantic IDs by name, see `needs.Tokens`.
        tokenizers: what made them, by the same names; none for imported IDs.
        reports: quality reports of the IDs, by the same names.
    """

    tokens: list[str]
    titles: list[str] | None = None
    embeddings: dict[str, ItemEmbeddings] = field(default_factory=dict)
    ids: dict[str, SemanticIDs] = field(default_factory=dict)
    tokenizers: dict[str, ItemTokenizer] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
