"""The base of all models that know items by their semantic IDs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.items.needs import SIDES, Need, Tokens, main_set
from recbole_genrec.model.histories import next_items
from recbole_genrec.model.hooks import ModelHooks
from recbole_genrec.tokenizer.placement import place_new_items
from recbole_genrec.tokenizer.table import SemanticIDTable

WIDTH = 64  # in steps of which lists are asked for


class TargetView(NamedTuple):
    """Which target sees how much of which history of a batch.

    Attributes:
        items: the items to write `[n_targets]`; None where a search finds them.
        history: number of the history of each target in the batch `[n_targets]`; None for one
            target a history, in their order.
        visible: how many of the first items of its history a target sees `[n_targets]`; None for
            all.
    """

    items: Tensor | None
    history: Tensor | None = None
    visible: Tensor | None = None


class SemanticIDRecommender(ModelHooks, SequentialRecommender):
    """A sequential model whose items have semantic IDs.

    What a subclass writes is its network, `calculate_loss` and `recommend`. It gets the IDs it
    `needs` as tables, new items, and what a checkpoint needs to answer for raw item tokens.
    `GenerativeRecommender` and `ParallelRecommender` leave less to write.

    Args:
        config: RecBole's configuration, with that of this package.
        dataset: with `items`, as `recbole_genrec.quick_start.prepare_data` gives it.

    Attributes:
        items: tokens, titles, embeddings and tokenizers of the items; not their IDs.
        ids: the semantic IDs; those of a further set `Tokens(name)` are `<name>_ids`.
    """

    input_type = InputType.POINTWISE
    needs_semantic_ids = True
    score_name = "score"
    """What the scores of `recommend` are: a log_probability where they are those of the items."""
    scores_all_items = False
    training_only: Sequence[str] = ()
    """Modules that a model which is restored to recommend has None in the place of."""
    ids: SemanticIDTable

    @classmethod
    def needs(cls, config) -> Sequence[Need]:
        return (main_set(config),)

    def __init__(self, config, dataset) -> None:
        super().__init__(config, dataset)
        self.trains_in_one_pass = self.one_pass(config)
        if dataset.items is None:
            raise InputError(
                f"{config['model']} needs a data set with semantic IDs: load it with "
                "recbole_genrec.quick_start.prepare_data, or call run_recbole_genrec"
            )
        given = dataset.items  # which other models may share
        self.items = replace(
            given,
            tokens=list(given.tokens),
            titles=given.titles and list(given.titles),
            tokenizers=dict(given.tokenizers),
            ids={},
        )
        self._sources = {
            need.name: need.embeddings for need in self.needs(config) if isinstance(need, Tokens)
        }
        for name in self._sources:
            table = SemanticIDTable(given.ids[name])
            table.on_change(self._count_items)
            self.add_module(_table_name(name), table)
        self.register_load_state_dict_pre_hook(SemanticIDRecommender._leave_out)

    def _leave_out(self, state_dict: dict[str, Tensor], *_) -> None:
        """Before weights are loaded: those that only training needs, where it will not go on."""
        absent = [f"{name}." for name in self.training_only if getattr(self, name) is None]
        for name in [name for name in state_dict if name.startswith(tuple(absent))]:
            del state_dict[name]

    def tables(self) -> dict[str, SemanticIDTable]:
        """The semantic IDs by the name of their set; that of the main one is empty."""
        modules = dict(self.named_children())
        return {
            name.removesuffix("ids").removesuffix("_"): module
            for name, module in modules.items()
            if isinstance(module, SemanticIDTable)
        }

    def _count_items(self) -> None:
        self.n_items = self.ids.num_items

    # ---- histories and targets

    def history_items(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """The items of all histories end to end `[total_items]`, and their number `[batch]`."""
        item_seq = interaction[self.ITEM_SEQ]  # [batch, length]
        item_seq_len = interaction[self.ITEM_SEQ_LEN]
        position = torch.arange(item_seq.shape[1], device=item_seq.device)
        return item_seq[position < item_seq_len.unsqueeze(1)], item_seq_len

    def next_items(self, interaction: Interaction) -> Tensor:
        """The item after each of `history_items`, `[total_items]`: the targets of one pass."""
        return next_items(*self.history_items(interaction), interaction[self.POS_ITEM_ID])

    def targets(self, interaction: Interaction) -> TargetView:
        """The items to write: the next one, and in one pass each of the history after the first."""
        if not self.trains_in_one_pass:
            return TargetView(interaction[self.POS_ITEM_ID])
        lengths = interaction[self.ITEM_SEQ_LEN]
        history = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
        start = lengths.cumsum(0) - lengths
        position = torch.arange(len(history), device=lengths.device) - start[history]
        return TargetView(self.next_items(interaction), history, position + 1)

    def labels(self, items: Tensor) -> Tensor:
        """Tokens `[n, L]` of items `[n]`, which may lie on the host."""
        return self.ids.tokens[items.to(self.ids.tokens.device)]

    def num_targets(self, interaction: Interaction) -> int | Tensor:
        if not self.trains_in_one_pass:
            return len(interaction)
        return interaction[self.ITEM_SEQ_LEN].sum()

    def num_tokens(self, interaction: Interaction) -> int | Tensor | None:
        read = interaction[self.ITEM_SEQ_LEN].sum()
        return (read + self.num_targets(interaction)) * self.ids.num_levels

    # ---- answers

    def recommend(
        self, interaction: Interaction, k: int, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The k best items after each history, best first.

        Args:
            interaction: a batch of histories.
            k: number of items.
            allowed: the items to choose from `[m]`, all by default.

        Returns:
            item ids `[batch, k]` and their scores `[batch, k]`; id 0 and -inf where there are fewer
            items than k.
        """
        raise NotImplementedError

    def explain(self, interaction: Interaction, items: Tensor) -> dict[str, Tensor]:
        """What the scores of recommended items are the sum of, by name `[batch, k]`.

        Args:
            interaction: a batch of histories.
            items: their recommended items `[batch, k]`.

        Raises:
            InputError: if the scores of the model are no sums.
        """
        raise InputError(f"explain: the scores of {type(self).__name__} are no sum of parts")

    def search_width(self, number: int, num_allowed: int) -> int:
        """The k to ask of `recommend` for this number of items, among so many.

        Whole multiples, so that users of unlike histories share batches.
        """
        return min(-(-number // WIDTH) * WIDTH, num_allowed)

    def width_to_mask(self, k: int, number: int) -> int:
        """The k to ask of `recommend` so that k good items stay when `number` are taken out."""
        return k + number

    # ---- items that are new after training

    def add_items(
        self, tokens: Sequence[str], titles: Sequence[str], embeddings: Mapping[str, Tensor]
    ) -> None:
        """Make further items known; they get the IDs that their tokenizers give.

        Where IDs are unique, the nearest that are free.

        Args:
            tokens: raw tokens `[m]`, none of them known so far.
            titles: what to call them `[m]`.
            embeddings: their embeddings `[m, d]` by name, as `items.embeddings` has them.

        Raises:
            InputError: when a set of IDs was imported, or made from embeddings that are not given.
        """
        appended = {}
        for name, table in self.tables().items():
            wanted = self.codes_of_new_items(name, embeddings)
            if table.unique:
                wanted = place_new_items(table.codes[1:], wanted, table.sizes)
            appended[name] = wanted
        self.items.append(tokens, titles, embeddings)
        for name, table in self.tables().items():
            table.append(appended[name])

    def codes_of_new_items(self, name: str, embeddings: Mapping[str, Tensor]) -> Tensor:
        """The codes `[m, L]` that new items would have in a set, collisions included.

        Args:
            name: of the set of semantic IDs.
            embeddings: as of `add_items`.
        """
        source = self._sources[name]
        if source not in embeddings:
            needed = " and ".join(SIDES.get(source, [source]))
            raise InputError(
                f"new items need {needed} embeddings for the semantic IDs of "
                f"{type(self).__name__}, found those of {', '.join(embeddings)}"
            )
        return self.items.encode_items(name, embeddings[source])

    # ---- checkpoints and results

    def extra_checkpoint(self) -> dict[str, Any]:
        """What the checkpoint needs beside the weights to answer for raw item tokens."""
        ids = {name: table.semantic_ids for name, table in self.tables().items()}
        return {"items": self.items.state(ids)}

    def semantic_codes(self) -> dict[str, Tensor]:
        return {name: table.codes for name, table in self.tables().items()}

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores `[batch, n_items]` of all items."""
        raise NotImplementedError


def _table_name(name: str) -> str:
    return f"{name}_ids" if name else "ids"
