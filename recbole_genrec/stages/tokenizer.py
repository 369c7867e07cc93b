"""From item embeddings or given codes to unique semantic IDs: tokenize, then resolve collisions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recbole_genrec.cache import CacheFolder, hash_file, hash_texts
from recbole_genrec.config.layers import tokenizer_defaults
from recbole_genrec.errors import InputError, check_name, refuse
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.items import Items
from recbole_genrec.items.needs import Tokens, set_setting
from recbole_genrec.plain import save_tensors
from recbole_genrec.stages.base import cache_root
from recbole_genrec.tokenizer.base import ItemTokenizer
from recbole_genrec.tokenizer.collision import KEEP, STRATEGIES, resolve_collisions
from recbole_genrec.tokenizer.formats import read_codes
from recbole_genrec.tokenizer.prefixes import collision_rate
from recbole_genrec.tokenizer.quality.format import format_report
from recbole_genrec.tokenizer.quality.report import quality_report
from recbole_genrec.tokenizer.registry import create_tokenizer, tokenizer_class
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs

RESOLVING = ("collision", "append_size")  # what `resolve` reads beside the seed, and no tokenizer


class TokenizerStage:
    """Gives every item a semantic ID, in one set of them.

    The codes come from `sid_file` if set, else from the `tokenizer`, which is fitted on embeddings
    that earlier stages have left.

    Args:
        need: the name of the set, and of the embeddings.
    """

    def __init__(self, need: Tokens) -> None:
        self.need = need
        self.imported: Codes | None = None

    def check(self, config, dataset) -> None:
        name = self.need.name
        collision = set_setting(config, name, "collision")
        if collision == KEEP and self.need.unique:
            key = f"{name}_collision" if name else "collision"
            reason = f"{config['model']} tells items apart by their semantic IDs alone"
            refuse(key, f"one of {', '.join(STRATEGIES)}, as {reason}", KEEP)
        file = set_setting(config, name, "sid_file")
        if file:
            key = f"{name}_sid_file" if name else "sid_file"
            self.imported = import_codes(key, Path(file).expanduser(), dataset.item_tokens)
        else:
            settings = tokenizer_settings(config, name)
            tokenizer = tokenizer_class(settings["tokenizer"])
            tokenizer.check_settings(settings)
            tokenizer.check_count(settings, len(dataset.item_tokens) - 1)
            check_name("collision", settings["collision"], (*STRATEGIES, KEEP))

    def made_from(self, config) -> tuple[str | None, str, dict[str, Any]]:
        """The file, the embeddings and the settings that decide on the codes."""
        name = self.need.name
        file = set_setting(config, name, "sid_file")
        return file, self.need.embeddings, tokenizer_settings(config, name)

    def run(self, config, dataset, items: Items) -> None:
        name = self.need.name
        settings = tokenizer_settings(config, name)
        embeddings = items.embeddings.get(self.need.embeddings)
        codes = self.imported or tokenize(config, settings, items, self.need.embeddings)
        ids, report = resolve(config, settings, items, codes, embeddings)
        getLogger().info(format_report(report))
        items.ids[name], items.reports[name] = ids, report
        if codes.tokenizer is not None:
            items.tokenizers[name] = codes.tokenizer


@dataclass
class Codes:
    """The codes of all items, as yet with collisions.

    Attributes:
        codes: `[n, L]`, without a row for the padding item.
        sizes: number of codes of each level `[L]`.
        tokenizer: what made them of embeddings; None for imported ones.
        fingerprint: of all that they depend on.
    """

    codes: Tensor
    sizes: list[int]
    tokenizer: ItemTokenizer | None
    fingerprint: str


def import_codes(key: str, file: Path, item_tokens: list[str]) -> Codes:
    """The codes of the JSON file that a key, such as `sid_file`, names."""
    if not file.is_file():
        raise InputError(f"{key}: there is no file {file}.")
    codes, sizes = read_codes(file, item_tokens[1:])
    return Codes(codes, sizes, None, hash_file(file))


def tokenize(config, settings: dict[str, Any], items: Items, source: str) -> Codes:
    """Fit the tokenizer on the embeddings called `source`, and encode them."""
    embeddings = items.embeddings[source]
    side = {name: items.embeddings[name] for name in tokenizer_class(settings["tokenizer"]).side}
    vectors = embeddings.rows
    tokenizer = create_tokenizer(settings, vectors.shape[1]).to(config["device"])
    identity = {
        "items": hash_texts(items.tokens),
        "embeddings": embeddings.fingerprint,
        "side": {name: other.fingerprint for name, other in side.items()},
        **{key: value for key, value in settings.items() if key not in RESOLVING},
    }
    if tokenizer.form > 1:
        identity["form"] = tokenizer.form
    cache = CacheFolder(
        cache_root(config), f"{config['dataset']}-{settings['tokenizer']}", identity
    )

    def build(folder: Path) -> None:
        getLogger().info(f"{settings['tokenizer']}: training on {len(vectors)} items")
        tokenizer.progress_file = folder / "progress.pt"
        codes = tokenizer.fit_encode(vectors, **{name: other.rows for name, other in side.items()})
        weights = {name: tensor.cpu() for name, tensor in tokenizer.state_dict().items()}
        save_tensors(weights, folder / "tokenizer.pt")
        save_tensors({"codes": codes, "summary": tokenizer.summary}, folder / "codes.pt")
        tokenizer.progress_file.unlink(missing_ok=True)

    cache.ensure(build, f"{settings['tokenizer']}: codes")
    tokenizer.progress_file = None
    tokenizer.load_state_dict(torch.load(cache.path / "tokenizer.pt", weights_only=True))
    kept = torch.load(cache.path / "codes.pt", weights_only=True)
    tokenizer.summary = kept["summary"]
    return Codes(kept["codes"], tokenizer.codebook_sizes, tokenizer, cache.fingerprint)


def resolve(
    config,
    settings: Mapping[str, Any],
    items: Items,
    given: Codes,
    embeddings: ItemEmbeddings | None,
) -> tuple[SemanticIDs, dict[str, Any]]:
    """Make the codes unique, unless they are kept; returns the semantic IDs and their report.

    Args:
        config: the settings of the run.
        settings: those of the set.
        items: whose codes they are.
        given: the codes, with collisions.
        embeddings: what they were made from, or what the report judges imported ones by.
    """
    identity = {
        "items": hash_texts(items.tokens),
        "codes": given.fingerprint,
        "embeddings": embeddings and embeddings.fingerprint,
        **{key: settings[key] for key in (*RESOLVING, "seed")},
    }
    name = "imported" if given.tokenizer is None else settings["tokenizer"]
    cache = CacheFolder(cache_root(config), f"{config['dataset']}-{name}-ids", identity)

    def build(folder: Path) -> None:
        vectors = None if embeddings is None else embeddings.rows
        unique = settings["collision"] != KEEP
        codes, sizes = _unique(settings, given, vectors) if unique else (given.codes, given.sizes)
        padded = torch.nn.functional.pad(codes, (0, 0, 1, 0))  # row 0 = the padding item
        ids = SemanticIDs(padded, sizes, unique)
        ids.save(folder / "semantic_ids.pt")
        report = quality_report(given.codes, ids, vectors, given.tokenizer)
        (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")

    cache.ensure(build, "Semantic IDs")
    report = json.loads((cache.path / "report.json").read_text(encoding="utf-8"))
    return SemanticIDs.load(cache.path / "semantic_ids.pt"), report


def _unique(
    settings: Mapping[str, Any], given: Codes, vectors: Tensor | None
) -> tuple[Tensor, list[int]]:
    """Codes `[n, L]` without collisions; imported ones that have none stay as they are."""
    tokenizer = given.tokenizer
    if tokenizer is None and not collision_rate(given.codes):
        return given.codes, given.sizes

    distances = None
    if tokenizer is not None and vectors is not None:

        def distances(rows: Tensor, codes: Tensor) -> Tensor:
            return tokenizer.last_level_distances(vectors[rows], codes)

    return resolve_collisions(
        given.codes,
        given.sizes,
        settings["collision"],
        settings["seed"],
        append_size=settings["append_size"],
        distances=distances,
    )


def tokenizer_settings(config, name: str = "") -> dict[str, Any]:
    """The settings that decide the codes of given embeddings: those of its YAML files.

    Args:
        config: the settings of the run.
        name: of the set of semantic IDs.
    """
    defaults = tokenizer_defaults(set_setting(config, name, "tokenizer"))
    own = {key: set_setting(config, name, key, default) for key, default in defaults.items()}
    return {**own, "seed": config["seed"]}
