"""From what a model needs to the stages that deliver it, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from recbole_genrec.errors import InputError, check_name
from recbole_genrec.items.items import Items
from recbole_genrec.items.needs import BOTH, COLLABORATIVE, TEXT, Need, Tokens, with_embeddings
from recbole_genrec.stages.base import Stage
from recbole_genrec.stages.both import BothEmbeddings
from recbole_genrec.stages.collaborative import CollaborativeEmbeddings
from recbole_genrec.stages.text import GivenEmbeddings, ReadItems, TextEmbeddings
from recbole_genrec.stages.tokenizer import TokenizerStage


def run_stages(config, dataset, needs: Sequence[Need]) -> Items:
    """Deliver what a model needs of the items of a data set.

    All that can be known to be wrong is found before the first stage runs. What an earlier run has
    left in `checkpoint_dir` is not made again.

    Args:
        config: the settings of the run.
        dataset: has `item_tokens`, the raw token of every item by internal id.
        needs: see `ModelHooks.needs`.

    Raises:
        InputError: if a setting or a file cannot work.
    """
    plan = Plan(config, dataset, needs)
    plan.check()
    return plan.run()


class Plan:
    """The stages of one configuration in their order; see `run_stages`."""

    def __init__(self, config, dataset, needs: Sequence[Need]) -> None:
        self.config, self.dataset = config, dataset
        self.stages = stages_for(config, needs)

    def check(self) -> None:
        for stage in self.stages:
            stage.check(self.config, self.dataset)
        self._check_copies()

    def _check_copies(self) -> None:
        sets = [stage for stage in self.stages if isinstance(stage, TokenizerStage)]
        for first, second in combinations(sets, 2):
            if second.made_from(self.config) == first.made_from(self.config):
                name, other = second.need.name, first.need.name or "the main set"
                raise InputError(
                    f"the semantic IDs of {name} would be those of {other}: expected a setting of "
                    f"their own, such as {name}_tokenizer or {name}_sid_file"
                )

    def run(self) -> Items:
        items = Items(list(self.dataset.item_tokens))
        for stage in self.stages:
            stage.run(self.config, self.dataset, items)
        items.texts = []  # whose embeddings are there
        return items


def stages_for(config, needs: Iterable[Need]) -> list[Stage]:
    """The stages in their order: each comes after those whose results it reads.

    Raises:
        InputError: if there are no such embeddings or tokenizers.
    """
    text = GivenEmbeddings if config["item_embedding_file"] else TextEmbeddings
    embeddings: dict[str, type[Stage]] = {
        TEXT: text,
        COLLABORATIVE: CollaborativeEmbeddings,
        BOTH: BothEmbeddings,
    }
    stages = [_stage(need, embeddings) for need in with_embeddings(needs, config)]
    needs_texts = any(isinstance(stage, TextEmbeddings) for stage in stages)
    return [ReadItems(needs_texts), *stages]


def _stage(need: Need, embeddings: Mapping[str, type[Stage]]) -> Stage:
    if isinstance(need, Tokens):
        return TokenizerStage(need)
    check_name("embeddings", need.name, embeddings)
    return embeddings[need.name]()
