"""The items of a data set as generative models know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from logging import getLogger
from typing import Any

import torch
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.items.needs import TEXT
from recbole_genrec.tokenizer.base import ItemTokenizer
from recbole_genrec.tokenizer.quality.report import add_purity_gains
from recbole_genrec.tokenizer.registry import restore_tokenizer, tokenizer_state
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs


@dataclass
class Items:
    """What is known of the items of a data set; row 0 of everything is the padding item.

    Attributes:
        tokens: raw token of every item `[n_items]`, index = internal id.
        titles: what to call every item `[n_items]`; None where no name is known.
        texts: what text embeddings are made of `[n_items]`; empty once they are made.
        embeddings: by name, see `needs.Embeddings`; their `vectors` are `[n_items, d]`.
        ids: semantic IDs by name, see `needs.Tokens`.
        tokenizers: what made them, by the same names; none for imported IDs.
        reports: quality reports of the IDs, by the same names.
    """

    tokens: list[str]
    titles: list[str] | None = None
    texts: list[str] = field(default_factory=list)
    embeddings: dict[str, ItemEmbeddings] = field(default_factory=dict)
    ids: dict[str, SemanticIDs] = field(default_factory=dict)
    tokenizers: dict[str, ItemTokenizer] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)

    def encode_texts(self, texts: Sequence[str], name: str = TEXT) -> Tensor:
        """Embeddings `[len(texts), d]` of the texts of further items.

        Raises:
            InputError: if the items' embeddings were given, or are of another kind than texts have.
        """
        return self._encoder(name).encode(texts)

    def reduce(self, embeddings: Tensor, name: str = TEXT) -> Tensor:
        """Bring raw embeddings `[n, d_raw]` to the `[n, d]` of the item embeddings."""
        return self._encoder(name).reduce(embeddings)

    def encode_items(self, name: str, embeddings: Tensor) -> Tensor:
        """The codes `[n, L]` that a tokenizer gives to embeddings `[n, d]`, collisions included.

        Args:
            name: of the set of IDs.
            embeddings: of further items.

        Raises:
            InputError: if the IDs were imported, so that there is no tokenizer.
        """
        if name not in self.tokenizers:
            raise InputError("Imported semantic IDs come without a tokenizer for new items.")
        return self.tokenizers[name].encode(embeddings)

    def append(
        self, tokens: Sequence[str], titles: Sequence[str], embeddings: Mapping[str, Tensor]
    ) -> None:
        """Add further items.

        Args:
            tokens: raw tokens `[m]`.
            titles: what to call them `[m]`.
            embeddings: vectors `[m, d]` by name.
        """
        self.tokens += tokens
        if self.titles is not None:
            self.titles += titles
        for name, new in embeddings.items():
            known = self.embeddings.get(name)
            if known is not None and known.vectors is not None:
                vectors = torch.cat([known.vectors, new.to(known.vectors)])
                self.embeddings[name] = replace(known, vectors=vectors)

    def _encoder(self, name: str) -> ItemEncoder:
        found = self.embeddings.get(name)
        if found is None and self.embeddings:
            needed = " and ".join(self.embeddings)
            raise InputError(
                f"new items need {needed} embeddings, which the semantic IDs were made from, "
                f"found those of {name}: train with these items"
            )
        return ItemEncoder() if found is None else found.encoder

    def add_purity(self, item_counter: Mapping[int, int]) -> None:
        """Add to the reports how pure the training interactions of the codes are.

        Args:
            item_counter: training interactions of each item, by internal id.
        """
        counts = torch.tensor([item_counter.get(item, 0) for item in range(1, len(self.tokens))])
        for name, report in self.reports.items():
            add_purity_gains(report, self.ids[name], counts)
            gains = ", ".join(f"{level['purity_gain']:.3f}" for level in report["levels"])
            which = f" of {name}" if name else ""
            getLogger().info(f"Purity gain of the levels{which} in training: {gains}")

    def state(self, ids: Mapping[str, SemanticIDs]) -> dict[str, Any]:
        """All but the embeddings' vectors as tensors and plain values, for a checkpoint.

        Args:
            ids: the semantic IDs as the model has them now, by the names of the sets.
        """
        return {
            "tokens": self.tokens,
            "titles": self.titles,
            "encoders": {name: made.encoder.state_dict() for name, made in self.embeddings.items()},
            "ids": {name: own.state() for name, own in ids.items()},
            "tokenizers": {name: tokenizer_state(own) for name, own in self.tokenizers.items()},
            "reports": self.reports,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], device: torch.device | str = "cpu") -> Items:
        """The items that `state` was taken of; `device` is where they encode new items."""
        return cls(
            tokens=state["tokens"],
            titles=state["titles"],
            embeddings={
                name: ItemEmbeddings(None, ItemEncoder.from_state(encoder, device))
                for name, encoder in state["encoders"].items()
            },
            ids={name: SemanticIDs(**own) for name, own in state["ids"].items()},
            tokenizers={
                name: restore_tokenizer(own, device) for name, own in state["tokenizers"].items()
            },
            reports=state["reports"],
        )
