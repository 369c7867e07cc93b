"""From what a model needs to the stages that deliver it, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from recbole_genrec.errors import check_name
from recbole_genrec.items.items import Items
from recbole_genrec.items.needs import COLLABORATIVE, TEXT, Embeddings, Need, Tokens
from recbole_genrec.stages.base import Stage
from recbole_genrec.stages.collaborative import CollaborativeEmbeddings
from recbole_genrec.stages.text import GivenEmbeddings, ReadItems, TextEmbeddings
from recbole_genrec.stages.tokenizer import TokenizerStage, set_setting, tokenizer_settings
from recbole_genrec.tokenizer.registry import tokenizer_class


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
    wanted: list[Need] = []
    for need in needs:
        wanted += [one for one in (*_before(need, config), need) if one not in wanted]
    text = GivenEmbeddings if config["item_embedding_file"] else TextEmbeddings
    embeddings: dict[str, type[Stage]] = {TEXT: text, COLLABORATIVE: CollaborativeEmbeddings}
    stages = [_stage(need, embeddings) for need in wanted]
    needs_texts = any(isinstance(stage, TextEmbeddings) for stage in stages)
    return [ReadItems(needs_texts), *stages]


def _before(need: Need, config) -> list[Need]:
    """The embeddings that a set of semantic IDs is made from."""
    if isinstance(need, Embeddings):
        return []
    if set_setting(config, need.name, "sid_file"):  # embeddings only serve the quality report
        given = need.embeddings == TEXT and config["item_embedding_file"]
        return [Embeddings(TEXT)] if given else []
    tokenizer = tokenizer_class(tokenizer_settings(config, need.name)["tokenizer"])
    return [Embeddings(name) for name in dict.fromkeys((need.embeddings, *tokenizer.side))]


def _stage(need: Need, embeddings: Mapping[str, type[Stage]]) -> Stage:
    if isinstance(need, Tokens):
        return TokenizerStage(need)
    check_name("embeddings", need.name, embeddings)
    return embeddings[need.name]()
