"""
TIGER
################################################

Reference:
    Shashank Rajput et al. "Recommender Systems with Generative Retrieval." in NeurIPS 2023.
"""

from __future__ import annotations

from pathlib import Path

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_genrec.decoding.trie import ItemTrie
from recbole_genrec.model.export import export_t5
from recbole_genrec.model.generative_recommender import GenerativeRecommender, TargetView
from recbole_genrec.model.t5.generation import generate
from recbole_genrec.model.t5.t5 import T5, Encoded


class TIGER(GenerativeRecommender):
    """A T5 that reads the semantic IDs of a history and writes that of the next item.

    The history of a user is the sequence of the tokens of all its items, oldest first, or with
    `history_unit: item` that of the items, each the sum of the embeddings of its tokens. With
    `history_attention: causal` one pass over it trains a target after each of its items.
    """

    takes_host_batches = True

    @classmethod
    def one_pass(cls, config) -> bool:
        return config["history_attention"] == "causal"

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.reads_whole_items = config["history_unit"] == "item"
        self.t5 = T5.of(config, self.ids.vocab_size, self.tokens_per_item)

    @property
    def tokens_per_item(self) -> int:
        """Number of positions of an item in the history."""
        return 1 if self.reads_whole_items else self.ids.num_levels

    def history(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """What the encoder reads of all histories, laid end to end without padding.

        Returns:
            embeddings `[total_tokens, d_model]` and the number of them of each user `[batch]`.
        """
        items, lengths = self.history_items(interaction)
        read = self.units(self.t5.embedding(self.labels(items)))
        return read.flatten(0, 1), lengths * self.tokens_per_item

    def units(self, embeddings: Tensor) -> Tensor:
        """What the encoder reads of items, `[n, tokens_per_item, d_model]`.

        Args:
            embeddings: of their tokens `[n, L, d_model]`.
        """
        return embeddings.sum(1, keepdim=True) if self.reads_whole_items else embeddings

    def encode(self, interaction: Interaction) -> Encoded:
        return self.t5.encode(*self.history(interaction))

    def decode(self, memory: Encoded, inputs: Tensor, view: TargetView) -> Tensor:
        return self.t5.decode(memory, inputs, *self.visible_tokens(view))

    def visible_tokens(self, view: TargetView) -> tuple[Tensor | None, Tensor | None]:
        """The history of each target and how many of its first tokens it sees, for `T5.decode`."""
        visible = view.visible
        return view.history, None if visible is None else visible * self.tokens_per_item

    def decode_without_history(self, inputs: Tensor) -> Tensor:
        """Logits `[n_targets, l, vocab_size]` after a lone padding token."""
        nothing = self.t5.encode(self.t5.embedding.weight[:1], torch.ones(1, dtype=torch.long))
        return self.t5.decode(nothing, inputs, torch.zeros(len(inputs), dtype=torch.long))

    def num_tokens(self, interaction: Interaction) -> int | Tensor:
        read = interaction[self.ITEM_SEQ_LEN].sum() * self.tokens_per_item
        return read + self.num_targets(interaction) * self.ids.num_levels

    @torch.no_grad()
    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        history, lengths = self.history(interaction)
        trie, beams = self.ids.trie_of(allowed), max(k, self.beam_size)
        items, scores = self.search(history, lengths, trie, beams)
        return items[:, :k], scores[:, :k]

    def search(
        self, history: Tensor, lengths: Tensor, trie: ItemTrie, beams: int
    ) -> tuple[Tensor, Tensor]:
        """The likeliest items of each `history`, and their scores `[batch, beams]`."""
        return generate(self.t5, history, lengths, trie, beams, existing=self.existing)

    @property
    def existing(self) -> ItemTrie | None:
        """The items whose codes share the probability; None where all tokens do."""
        return self.ids.trie if self.existing_codes_only else None

    def compile_layers(self) -> None:
        self.t5.compile_layers()

    def export(self, folder: Path) -> None:
        export_t5(self, folder)
