r"""
SemanticSASRec
################################################

A model of this package, not of a paper. It stands on

Reference:
    Wang-Cheng Kang et al. "Self-Attentive Sequential Recommendation." in ICDM 2018.
    "Unified Semantic and ID Representation Learning for Deep Recommenders." arXiv 2502.16474,
    which joins semantic IDs with a vector per item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from recbole_genrec.errors import refuse
from recbole_genrec.model.causal_transformer import STD, CausalTransformer
from recbole_genrec.model.export import export_vectors
from recbole_genrec.model.parallel_recommender import ParallelRecommender
from recbole_genrec.model.repeat_bias import RepeatBias, items_before

LOGITS = 2**26  # that are held at a time in training


class SemanticSASRec(ParallelRecommender):
    r"""SASRec whose item vectors grow from semantic IDs.

    .. math::
        v_i = o_i + \sum_{l=1}^{L} e_{l, c_l(i)}

    where :math:`o_i` is the item's own vector and e are vectors of the codes, the same at input and
    output. A causal transformer makes a state s after each item of the history, and

    .. math::
        \mathcal{L} = - \log \mathrm{softmax}_i (s^\top v_i + b_i(\text{history}))

    over all items trains every position in one pass. b is the learned bias of items that stand in
    the history (`RepeatBias`). A new item has a zero own vector and lives from its codes.
    """

    takes_host_batches = True

    @classmethod
    def check_config(cls, config) -> None:
        width, heads = config["hidden_size"], config["n_heads"]
        if width % heads:
            refuse("hidden_size", f"a multiple of n_heads [{heads}]", width)

    @classmethod
    def one_pass(cls, config) -> bool:
        return True

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        d = config["hidden_size"]
        uses = config["item_vectors"]
        self.own_vectors = nn.Embedding(self.n_items, d) if uses != "codes" else None
        self.code_vectors = nn.Embedding(self.ids.vocab_size, d) if uses != "own" else None
        for embedding in filter(None, (self.own_vectors, self.code_vectors)):
            nn.init.normal_(embedding.weight, std=STD)
        self.repeat_bias = RepeatBias(self.max_seq_length) if config["repeat_bias"] else None
        self.transformer = CausalTransformer(
            d,
            config["n_layers"],
            config["n_heads"],
            config["inner_size"],
            self.max_seq_length,
            config["embedding_dropout_prob"],
            config["attn_dropout_prob"],
            config["hidden_dropout_prob"],
        )

    def item_vectors(self) -> Tensor:
        """Vectors `[n_items, d]` of all items."""
        parts = []
        if self.own_vectors is not None:
            parts.append(self.own_vectors.weight)
        if self.code_vectors is not None:
            parts.append(F.embedding_bag(self.ids.tokens, self.code_vectors.weight, mode="sum"))
        return sum(parts)

    def logits(self, states: Tensor, vectors: Tensor, seen: Tensor) -> Tensor:
        """Logits `[n, n_items]` of all items after states `[n, d]` and what was `seen`."""
        logits = F.linear(states, vectors)
        return logits if self.repeat_bias is None else self.repeat_bias(logits, seen)

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        items, lengths = self.history_items(interaction)
        device, vectors = self.ids.tokens.device, self.item_vectors()
        states = self.transformer(F.embedding(items.to(device), vectors), lengths)
        targets = self.next_items(interaction).to(device)
        seen = items_before(items, lengths).to(device)
        rows = max(1, LOGITS // len(vectors))
        loss = (
            self._loss
            if len(targets) <= rows
            else partial(checkpoint, self._loss, use_reentrant=False)
        )
        losses = [
            loss(*chunk, vectors)
            for chunk in zip(states.split(rows), targets.split(rows), seen.split(rows), strict=True)
        ]
        return torch.stack(losses).sum() / len(targets)

    def _loss(self, states: Tensor, targets: Tensor, seen: Tensor, vectors: Tensor) -> Tensor:
        """Sum of the losses of some targets; the padding item is none to choose from."""
        logits = self.logits(states, vectors, seen)[:, 1:].float()
        return F.cross_entropy(logits, targets - 1, reduction="sum")

    def item_scores(self, interaction: Interaction) -> Tensor:
        items, lengths = self.history_items(interaction)
        device, vectors = self.ids.tokens.device, self.item_vectors()
        states = self.transformer(F.embedding(items.to(device), vectors), lengths)
        last = lengths.cumsum(0) - 1
        seen = items_before(items, lengths)[last].to(device)
        return self.logits(states[last.to(device)], vectors, seen)

    def export(self, folder: Path) -> None:
        export_vectors(self.item_vectors(), folder)

    def add_items(
        self, tokens: Sequence[str], titles: Sequence[str], embeddings: Mapping[str, Tensor]
    ) -> None:
        super().add_items(tokens, titles, embeddings)
        if self.own_vectors is not None:
            weight = F.pad(self.own_vectors.weight.detach(), (0, 0, 0, len(tokens)))
            self.own_vectors = nn.Embedding.from_pretrained(weight, freeze=False)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Take over the own vectors of all items of the checkpoint, also where it has others."""
        loaded = state_dict.get(f"{prefix}own_vectors.weight")
        if self.own_vectors is not None and loaded is not None:
            rows, width = self.own_vectors.weight.shape
            if loaded.shape[1:] == (width,) and len(loaded) != rows:
                weight = self.own_vectors.weight.new_zeros(loaded.shape)
                self.own_vectors = nn.Embedding.from_pretrained(weight, freeze=False)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
