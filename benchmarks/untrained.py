"""What the benchmarks of whole models share: untrained models, over items that are made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from recbole.data.interaction import Interaction

from benchmarks import workload
from recbole_genrec.config.layers import run_files
from recbole_genrec.config.yaml_files import read_yaml
from recbole_genrec.items.items import Items

FIELDS = {
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "item_length",
    "NEG_PREFIX": "neg_",
    "MAX_ITEM_LIST_LENGTH": workload.MAX_ITEMS,
    "device": "cpu",
    "seed": 0,
}


def settings(model_class: type, dataset: str = "amazon-beauty", **given: Any) -> dict[str, Any]:
    """The settings of a model by the YAML files for this data set, but for those given."""
    config: dict[str, Any] = {"model": model_class.__name__}
    for file in run_files(model_class, dataset, {}):
        config |= read_yaml(file)
    return config | FIELDS | given


def made_up_items(number: int = workload.NUM_ITEMS) -> Items:
    """Items called by their numbers."""
    return Items(["[PAD]", *map(str, range(number))])


def data_set(items: Items, **more: Any) -> SimpleNamespace:
    """What models ask of a data set, in which every item is a target once."""
    counts = torch.ones(len(items.tokens), dtype=torch.long)
    asked = {"num": lambda field: len(counts), "items": items, "target_counts": counts}
    return SimpleNamespace(**asked | more)


def batch_of(lengths: torch.Tensor, num_items: int = workload.NUM_ITEMS) -> Interaction:
    """Random histories of these lengths `[n]`, with a target each."""
    items = torch.randint(1, num_items + 1, (len(lengths), workload.MAX_ITEMS))
    items[torch.arange(workload.MAX_ITEMS) >= lengths.unsqueeze(1)] = 0
    targets = torch.randint(1, num_items + 1, (len(lengths),))
    return Interaction({"item_id_list": items, "item_length": lengths, "item_id": targets})
