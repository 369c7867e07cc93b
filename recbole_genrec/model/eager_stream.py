"""A stream of EAGER: from the items of a history to one kind of codes of the next item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from recbole_genrec.decoding.trie import ItemTrie
from recbole_genrec.model.causal_transformer import STD
from recbole_genrec.model.code_tree import CodeTree
from recbole_genrec.model.semantic_id_recommender import TargetView
from recbole_genrec.model.t5.generation import generate
from recbole_genrec.model.t5.t5 import T5, Encoded
from recbole_genrec.tokenizer.table import SemanticIDTable

ROWS = 8192  # whose logits are held at a time where nothing is trained


class Stream(nn.Module):
    r"""A T5 that reads a vector per item and writes the path of the next item through a tree.

    .. math::
        P(y \mid x) = \prod_{l=1}^{L} P(v_l \mid v_{l-1}, x), \qquad
        P(v_l \mid v_{l-1}, x) = \mathrm{softmax}_{v_l} (s_l^\top e_{v_l})

    over the children of the node before. Each node has a vector e of its own, which the decoder
    reads and which its state s is compared with. Vectors start as small as BERT's.

    Args:
        ids: the semantic IDs, whose prefixes are the nodes.
        config: sizes of the T5, named as in `TIGER.yaml`.
    """

    def __init__(self, ids: SemanticIDTable, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.tree = CodeTree(ids)
        self.t5 = T5.of(config, len(self.tree), tokens_per_item=1)
        self.items = nn.Embedding(ids.num_items, self.t5.d_model)
        for embedding in (self.items, self.t5.embedding):
            nn.init.normal_(embedding.weight, std=STD)

    @property
    def node_vectors(self) -> Tensor:
        """e of all nodes `[n_nodes, d_model]`; that of the root starts the decoder."""
        return self.t5.embedding.weight

    def history(self, items: Tensor) -> Tensor:
        """Vectors `[total_items, d_model]` of the items of all histories end to end."""
        return self.items(items.to(self.items.weight.device))

    def encode(self, items: Tensor, lengths: Tensor) -> Encoded:
        """What the decoder reads of histories; arguments as `history_items` gives them."""
        return self.t5.encode(self.history(items), lengths)

    def states(self, encoded: Encoded, view: TargetView, last: Tensor | None = None) -> Tensor:
        """Decoder states `[n_targets, L, d_model]`, from each of which a code follows.

        Args:
            encoded: the histories.
            view: the targets, with their items.
            last: a vector `[d_model]` that comes after all codes; with it there are also a state
                after the last code and one after this vector, `[n_targets, L + 2, d_model]`.
        """
        nodes = self.tree.nodes[view.items]
        if last is None:
            inputs = self.t5.embedding(nodes[:, :-1])
        else:
            end = last.expand(len(nodes), 1, -1)
            inputs = torch.cat([self.t5.embedding(nodes), end], 1)
        return self.t5.decode_states(encoded, inputs, view.history, view.visible)

    def log_probs(self, states: Tensor, items: Tensor) -> Tensor:
        """Log-probabilities `[n, L]` of the codes of items `[n]`, from states `[n, >= L, d]`."""
        return self.tree.log_probs(states, self.tree.nodes[items], self.node_vectors)

    @torch.no_grad()
    def log_likelihood(self, encoded: Encoded, items: Tensor) -> Tensor:
        """Log-likelihoods `[users, m]` of items `[users, m]`, each row after its own history.

        The padding item, which has no path, gets some number.
        """
        users = torch.arange(len(items)).repeat_interleave(items.shape[1])
        given = items.flatten().clamp_min(1)
        states = self.states(encoded, TargetView(given, users))
        parts = zip(states.split(ROWS), given.split(ROWS), strict=True)
        return torch.cat([self.log_probs(*part).sum(1) for part in parts]).view_as(items)

    def search(
        self, items: Tensor, lengths: Tensor, trie: ItemTrie, beams: int
    ) -> tuple[Tensor, Tensor]:
        """The likeliest items of each history by beam search, and their log-likelihoods."""
        return generate(
            self.t5, self.history(items), lengths, trie, beams, self._embed, self._code_logits
        )

    def _embed(self, prefixes: Tensor) -> Tensor:
        """Vectors `[n, l, d]` of the nodes of prefixes `[n, l]`, which begin with the token 0."""
        return self.t5.embedding(self.tree.find(prefixes[:, 1:]))

    def _code_logits(self, states: Tensor, prefixes: Tensor) -> Tensor:
        """Logits `[n, vocab_size]` of the next token, -inf for all but those of the children."""
        parents, level = self.tree.find(prefixes[:, 1:])[:, -1], prefixes.shape[1] - 1
        vectors = self.node_vectors.to(states.dtype)
        logits = self.tree.logits(states, parents, vectors, level)
        children, _ = self.tree.children_of(parents, logits.shape[1])
        every = logits.new_full((len(logits), self.tree.vocab_size), -torch.inf)
        return every.scatter_(1, self.tree.token[children], logits)
