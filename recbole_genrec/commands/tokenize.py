"""Semantic IDs without a recommender: build, report, compare, export."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from filecmp import cmp
from importlib.util import find_spec
from itertools import chain, count
from logging import getLogger
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recbole.utils import init_seed

from recbole_genrec.config import Config
from recbole_genrec.config.settings import with_files
from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.items.items import Items
from recbole_genrec.items.needs import Tokens, main_set
from recbole_genrec.model.hooks import class_hooks
from recbole_genrec.report.figures import plot_report
from recbole_genrec.runs.log import start_log
from recbole_genrec.stages.base import cache_root
from recbole_genrec.stages.plan import Plan
from recbole_genrec.tokenizer.formats import MOST_LETTERS
from recbole_genrec.tokenizer.quality.format import format_comparison


def tokenize(
    dataset: str,
    tokenizers: str | Sequence[str] | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    model: str | None = None,
) -> dict[str, Items]:
    """Build the semantic IDs of a data set by one tokenizer or several, and export them.

    A later run of `model` with the same settings finds them in the cache. The exports lie in
    `<checkpoint_dir>/semantic_ids` and are called by data set, tokenizer and embeddings, such as
    `ml-100k-RQVAE-tfidf`: with `.sid.json` raw item token -> codes (what `sid_file` reads), with
    `.index.json` the same in LETTER's form, which has 26 levels at most, with `.png` the quality
    report. A file that holds something else, such as IDs that were edited, is left alone: the new
    ones get a number.

    Args:
        dataset: name of the data set.
        tokenizers: names, as a sequence or separated by commas; that of the settings if not given.
        config_file_list: YAML files, later ones override earlier ones.
        config_dict: settings that override all files.
        model: the model whose defaults apply, and whose sets of semantic IDs are built; that of the
            settings if not given, or else TIGER.

    Returns:
        the items with their semantic IDs, by the name of the tokenizer.

    Raises:
        InputError: for a setting or a file that cannot work.
    """
    names = tokenizers.split(",") if isinstance(tokenizers, str) else tokenizers
    choices = [{"tokenizer": name.strip()} for name in names] if names else [{}]
    given = {**with_files({}, config_file_list or ()), **(config_dict or {})}
    model = model or given.get("model", "TIGER")
    configs = [
        Config(model, dataset, config_file_list, {**(config_dict or {}), **choice})
        for choice in choices
    ]
    init_seed(configs[0]["seed"], configs[0]["reproducibility"])
    start_log(configs[0])
    data = create_dataset(configs[0])
    getLogger().info(data)
    plans = [Plan(config, data, _sets(config)) for config in configs]
    for plan in plans:
        plan.check()
    built = {plan.config["tokenizer"]: _build_and_export(plan) for plan in plans}
    if len(built) > 1:
        for need in _sets(configs[0]):
            reports = {name: items.reports[need.name] for name, items in built.items()}
            of_set = f", {need.name} IDs" if need.name else ""
            getLogger().info(f"Comparison on {dataset}{of_set}\n{format_comparison(reports)}")
    return built


def _sets(config: Config) -> list[Tokens]:
    """The sets of semantic IDs of a model, one for a model without any."""
    needs = class_hooks(config.model_class).needs(config)
    return [need for need in needs if isinstance(need, Tokens)] or [main_set(config)]


def _build_and_export(plan: Plan) -> Items:
    items = plan.run()
    for need in _sets(plan.config):
        tokenizer, embeddings = items.tokenizers.get(need.name), items.embeddings
        parts = [plan.config["dataset"], need.name]
        if tokenizer is None:
            parts.append("imported")
        else:
            parts += [type(tokenizer).__name__, embeddings[need.embeddings].source]
        _export(items, need.name, cache_root(plan.config), "-".join(filter(None, parts)))
    return items


def _export(items: Items, name: str, folder: Path, stem: str) -> None:
    """Write one set of IDs and the picture of its report under a name that is free for them."""
    ids = items.ids[name]
    with TemporaryDirectory(dir=folder) as temporary:
        new = Path(temporary)
        ids.to_json(new / ".sid.json", items.tokens, "codes")
        if len(ids.codebook_sizes) <= MOST_LETTERS:
            ids.to_json(new / ".index.json", items.tokens, "letter")
        else:
            getLogger().info(
                f"No .index.json: LETTER's form has no more than {MOST_LETTERS} levels"
            )
        free = _free_name(folder, stem, new)
        if free != stem:
            getLogger().warning(f"{folder / stem} holds other IDs and stays as it is")
        if find_spec("matplotlib"):
            plot_report(items.reports[name], new / ".png")
        else:
            getLogger().info('No picture: pip install "recbole-genrec[plot]" draws it.')
        for file in new.iterdir():
            os.replace(file, folder / f"{free}{file.name}")
            getLogger().info(f"Exported {folder / free}{file.name}")


def _free_name(folder: Path, stem: str, new: Path) -> str:
    """The first of stem, stem-2, stem-3 ... whose files, where there are any, are equal to these.

    Args:
        folder: where they will lie.
        stem: their name without suffixes.
        new: folder of the files to be named, each of them called by its suffix.
    """

    def is_free(name: str) -> bool:
        there = [(folder / f"{name}{file.name}", file) for file in new.iterdir()]
        return all(cmp(old, file, shallow=False) for old, file in there if old.exists())

    numbered = (f"{stem}-{number}" for number in count(2))
    return next(name for name in chain([stem], numbered) if is_free(name))
