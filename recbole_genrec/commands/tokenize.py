"""Semantic IDs without a recommender: build, report, compare, export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any

from recbole.utils import init_seed

from recbole_genrec.config import Config
from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.runs.log import start_log
from recbole_genrec.stages.tokenizer import TokenizerStage, run_tokenizer_stage
from recbole_genrec.tokenizer.quality.format import format_comparison


def tokenize(
    dataset: str,
    tokenizers: str | Sequence[str] | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    model: str = "TIGER",
) -> dict[str, TokenizerStage]:
    """Build the semantic IDs of a data set by one tokenizer or several, and export them.

    A later run of `model` with the same settings finds them in the cache. The exports lie in
    `<checkpoint_dir>/semantic_ids`: `<dataset>-<tokenizer>.sid.json` (raw item token -> codes; what
    `sid_file` reads) and `<dataset>-<tokenizer>.index.json` (LETTER's form).

    Args:
        dataset: name of the data set.
        tokenizers: names, as a sequence or separated by commas; that of the settings if not given.
        config_file_list: YAML files, later ones override earlier ones.
        config_dict: settings that override all files.
        model: the model whose defaults apply.

    Returns:
        the stage of each tokenizer by its name.

    Raises:
        InputError: for a setting or a file that cannot work.
    """
    names = tokenizers.split(",") if isinstance(tokenizers, str) else tokenizers
    choices = [{"tokenizer": name.strip()} for name in names] if names else [{}]
    configs = [
        Config(model, dataset, config_file_list, {**(config_dict or {}), **choice})
        for choice in choices
    ]
    init_seed(configs[0]["seed"], configs[0]["reproducibility"])
    start_log(configs[0])
    data = create_dataset(configs[0])
    getLogger().info(data)
    stages = {config["tokenizer"]: _build_and_export(config, data) for config in configs}
    if len(stages) > 1:
        table = format_comparison({name: stage.report for name, stage in stages.items()})
        getLogger().info(f"Comparison on {dataset}\n{table}")
    return stages


def _build_and_export(config: Config, data) -> TokenizerStage:
    stage = run_tokenizer_stage(config, data)
    name = "imported" if config["sid_file"] else config["tokenizer"]
    export = Path(config["checkpoint_dir"]) / "semantic_ids" / f"{config['dataset']}-{name}"
    for suffix, form in ((".sid.json", "codes"), (".index.json", "letter")):
        stage.semantic_ids.to_json(f"{export}{suffix}", stage.item_tokens, form)
        getLogger().info(f"Exported {export}{suffix}")
    return stage
