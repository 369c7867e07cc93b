"""The base of models that read one position per item and score all items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn import functional as F

from recbole_genrec.errors import refuse
from recbole_genrec.items.needs import TEXT, Embeddings, Need
from recbole_genrec.model.causal_transformer import CausalTransformer
from recbole_genrec.model.export import export_vectors
from recbole_genrec.model.histories import items_before, last_items_first
from recbole_genrec.model.item_softmax import SCORES
from recbole_genrec.model.item_texts import ItemTexts
from recbole_genrec.model.parallel_recommender import ParallelRecommender, best
from recbole_genrec.model.repeat_bias import HasRepeatBias, repeat_bias
from recbole_genrec.model.sparse_scores import SparseScores
from recbole_genrec.model.text_neighbors import TextNeighbors
from recbole_genrec.model.transition_memory import TransitionMemory


class ItemLevelRecommender(HasRepeatBias, ParallelRecommender):
    """A causal transformer makes a state after each item of a history, and a state scores items.

    One pass over a user's sequence trains all its targets. A subclass writes `vectors_of`,
    `scores_of` and `calculate_loss`, and makes its `transformer` by `new_transformer`. What the
    `repeat_bias`, the `memory` of transitions and the text `neighbors` say of single items is added
    here.
    """

    takes_host_batches = True
    transformer: CausalTransformer

    @classmethod
    def check_config(cls, config) -> None:
        width, heads = config["hidden_size"], config["n_heads"]
        if width % heads:
            refuse("hidden_size", f"a multiple of n_heads [{heads}]", width)

    @classmethod
    def needs(cls, config) -> Sequence[Need]:
        texts = [Embeddings(TEXT)] if config["neighbor_steps"] else []
        return [*super().needs(config), *texts]

    @classmethod
    def one_pass(cls, config) -> bool:
        return True

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.repeat_bias = repeat_bias(config, self.max_seq_length)
        self.memory: TransitionMemory | None = None
        steps, near = (  # no item stands further back than a history is long
            min(config[key], self.max_seq_length) for key in ("memory_steps", "neighbor_steps")
        )
        if steps:
            self.memory = TransitionMemory(
                config["hidden_size"], self.n_items, steps, config["memory_followers"]
            )
            self.memory.append(*dataset.before_targets(steps))
        self.ids.on_change(self._make_room)
        self.texts: ItemTexts | None = None
        if Embeddings(TEXT) in self.needs(config):
            self.texts = ItemTexts(self.n_items, self.given(TEXT))
        self.neighbors: TextNeighbors | None = None
        if near:
            self.neighbors = TextNeighbors(
                config["hidden_size"], self.n_items, near, config["neighbors"], self.known_texts()
            )

    def _make_room(self) -> None:
        """For items that are new."""
        if self.memory is not None and self.memory.n_items < self.n_items:
            self.memory.add_items(self.n_items - self.memory.n_items)

    def given(self, name: str) -> Tensor | None:
        """Embeddings of the items `[n_items, d]`; None in a model that is restored."""
        found = self.items.embeddings.get(name)
        return found and found.vectors

    def known_texts(self) -> Tensor | None:
        """Embeddings of texts, of length 1 `[n_items, d]`; None in a model that is restored."""
        return self.texts.vectors if self.texts and self.given(TEXT) is not None else None

    def add_items(
        self, tokens: Sequence[str], titles: Sequence[str], embeddings: Mapping[str, Tensor]
    ) -> None:
        super().add_items(tokens, titles, embeddings)
        if self.texts is not None:
            self.texts.add_items(embeddings[TEXT])
            if self.neighbors is not None:
                self.neighbors.add_items(self.texts.vectors)

    def new_transformer(
        self, config, gated: bool = False, filter_weight: float = 0.0
    ) -> CausalTransformer:
        """With the sizes and dropouts of the configuration."""
        return CausalTransformer(
            hidden_size=config["hidden_size"],
            n_layers=config["n_layers"],
            n_heads=config["n_heads"],
            inner_size=config["inner_size"],
            max_length=self.max_seq_length,
            embedding_dropout=config["embedding_dropout_prob"],
            attn_dropout=config["attn_dropout_prob"],
            hidden_dropout=config["hidden_dropout_prob"],
            gated=gated,
            filter_weight=filter_weight,
        )

    def vectors_of(self, items: Tensor) -> Tensor:
        """Vectors `[n, d]` of the items `[n]` of histories, which may lie on the host."""
        raise NotImplementedError

    def scores_of(self, states: Tensor, items: Tensor | None = None) -> Tensor:
        """Scores `[n, m]` of the items `[m]`, of all by default, from states `[n, d]` alone."""
        raise NotImplementedError

    def states(self, interaction: Interaction) -> Tensor:
        """The state after each item of the histories `[total_items, d]`."""
        items, lengths = self.history_items(interaction)
        return self.transformer(self.vectors_of(items), lengths)

    def seen(self, interaction: Interaction) -> Tensor:
        """The items up to each of the histories `[total_items, longest]`, the last one first."""
        return items_before(*self.history_items(interaction)).to(self.ids.tokens.device)

    def last_states(
        self, interaction: Interaction, states: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The state after each history `[batch, d]`, and its items `[batch, m]`, last one first.

        Args:
            interaction: a batch of histories.
            states: those after each of their items, where they are known.
        """
        states = self.states(interaction) if states is None else states
        lengths = interaction[self.ITEM_SEQ_LEN]
        seen = last_items_first(interaction[self.ITEM_SEQ], lengths)
        return states[(lengths.cumsum(0) - 1).to(states.device)], seen.to(states.device)

    def additions(
        self, states: Tensor, seen: Tensor, targets: Tensor | None = None, counted: bool = True
    ) -> SparseScores | None:
        """What repeat bias, memory and text neighbors add to the scores of single items.

        Args:
            states: `[n, d]`.
            seen: items of the histories `[n, m]`, the last one first.
            targets: for a loss, the item of each row that is to be predicted `[n]`.
            counted: whether the memory has counted the transitions to them, as in training.
        """
        parts = []
        if self.repeat_bias is not None:
            parts.append(self.repeat_bias(seen, targets))
        if self.memory is not None:
            parts.append(self.memory(states, seen, targets if counted else None))
        if self.neighbors is not None:
            parts.append(self.neighbors(states, seen))
        return SparseScores.join(parts) if parts else None

    @property
    def learns_additions(self) -> bool:
        """Whether repeat bias, memory or text neighbors have something to learn."""
        modules = (self.repeat_bias, self.memory, self.neighbors)
        return any(module is not None and list(module.parameters()) for module in modules)

    def add(
        self,
        scores: Tensor,
        states: Tensor,
        seen: Tensor,
        targets: Tensor | None = None,
        counted: bool = True,
    ) -> Tensor:
        """Scores `[n, n_items]` with what `additions` adds to them, in place."""
        additions = self.additions(states, seen, targets, counted)
        return scores if additions is None else additions.add_to(scores)

    def remember(self, interaction: Interaction) -> None:
        """Count the transitions of further histories and the item after each, without training."""
        if self.memory is not None:
            self.memory.append(
                self.seen(interaction)[:, : self.memory.steps], self.next_items(interaction)
            )

    def item_scores(self, interaction: Interaction) -> Tensor:
        states, seen = self.last_states(interaction)
        return self.add(self.scores_of(states), states, seen)

    @torch.no_grad()
    def explain(self, interaction: Interaction, items: Tensor) -> dict[str, Tensor]:
        states, seen = self.last_states(interaction)
        parts = self.parts_of_scores(states, items)
        if self.repeat_bias is not None:
            parts["repeat bias"] = self.repeat_bias(seen).of(items)
        if self.memory is not None:
            parts["memory"] = self.memory(states, seen).of(items)
        if self.neighbors is not None:
            parts["text neighbors"] = self.neighbors(states, seen).of(items)
        return parts

    def parts_of_scores(self, states: Tensor, items: Tensor) -> dict[str, Tensor]:
        """What `scores_of` is the sum of, by name `[n, k]`, for items `[n, k]`."""
        raise NotImplementedError

    def export(self, folder: Path) -> None:
        export_vectors(self.vectors_of(torch.arange(self.n_items)), folder)

    @torch.no_grad()
    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `ParallelRecommender.recommend`; of many items, some are scored at a time."""
        if len(interaction) * self.n_items <= SCORES:
            return super().recommend(interaction, k, allowed)
        states, seen = self.last_states(interaction)
        return self.best_in_chunks(states, self.additions(states, seen), k, allowed)

    def best_in_chunks(
        self, states: Tensor, additions: SparseScores | None, k: int, allowed: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The k best items `[n, k]` after states `[n, d]`, exactly, and their scores."""
        candidates = torch.arange(1, self.n_items) if allowed is None else allowed.sort().values
        columns = torch.full((self.n_items,), -1, device=states.device)
        found = torch.zeros(len(states), 0, dtype=torch.long, device=states.device)
        scores = states.new_zeros(found.shape)
        for items in candidates.to(states.device).split(max(k, SCORES // len(states))):
            new = self.scores_of(states, items)
            if additions is not None:
                columns[items] = torch.arange(len(items), device=states.device)
                additions.add_to(new, columns)
                columns[items] = -1
            places, new = best(new, k)
            found = torch.cat([found, items[places]], 1)
            places, scores = best(torch.cat([scores, new], 1), k)
            found = found.gather(1, places)
        missing = (0, k - found.shape[1])
        found = F.pad(found.masked_fill(scores == -torch.inf, 0), missing)
        return found, F.pad(scores, missing, value=-torch.inf)
