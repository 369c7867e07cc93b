"""The tokenizer stage: from item texts, embeddings or given codes to unique semantic IDs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_genrec.data.item_embeddings import ItemEmbeddings, build_item_embeddings
from recbole_genrec.data.item_text import read_item_texts, read_item_titles
from recbole_genrec.data.pca import PCA
from recbole_genrec.data.text_encoder import TextEncoder, build_text_encoder
from recbole_genrec.errors import InputError
from recbole_genrec.stage_cache import CacheFolder, hash_file, hash_texts
from recbole_genrec.tokenizer.base import ItemTokenizer
from recbole_genrec.tokenizer.collision import resolve_collisions
from recbole_genrec.tokenizer.formats import read_codes
from recbole_genrec.tokenizer.quality import quality_report
from recbole_genrec.tokenizer.quality_format import format_report
from recbole_genrec.tokenizer.quality_plot import plot_report
from recbole_genrec.tokenizer.registry import create_tokenizer
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs

FURTHER_SETTINGS = ("codebook_sizes", "collision", "append_size", "seed")


@dataclass
class TokenizerStage:
    """The items of a data set in the language of generative models.

    Attributes:
        semantic_ids: one unique semantic ID per item.
        item_tokens: raw token of every item, index = internal id; index 0 is the padding item.
        item_texts: text of every item, index = internal id; None where none is known.
        item_titles: what to call every item; None where no name is known.
        item_embeddings: `[n_items, d]`, row 0 zero; None for imported IDs without embeddings, and
            after `from_state`.
        text_encoder: what made the embeddings of texts; None where they were given.
        pca: what reduced the embeddings to `text_embedding_dim`; None where nothing did.
        tokenizer: what made the codes of the embeddings; None for imported IDs.
        settings: what the tokenizer was constructed with.
        report: the quality report.
        folder: where the stage lies on disk; None after `from_state`.
    """

    semantic_ids: SemanticIDs
    item_tokens: list[str]
    item_texts: list[str] | None
    item_titles: list[str] | None
    item_embeddings: Tensor | None
    text_encoder: TextEncoder | None
    pca: PCA | None
    tokenizer: ItemTokenizer | None
    settings: dict[str, Any]
    report: dict[str, Any]
    folder: Path | None = None

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings `[len(texts), d]` of further texts, as those of the items were made.

        Raises:
            InputError: if the items' embeddings were given, so that nothing can encode texts.
        """
        if self.text_encoder is None:
            raise InputError(
                "These semantic IDs were not made from texts: give embeddings of new items instead."
            )
        return self.reduce(self.text_encoder.encode(texts))

    def reduce(self, embeddings: Tensor) -> Tensor:
        """Bring raw embeddings `[n, d_raw]` to the `[n, d]` that the tokenizer reads."""
        return embeddings if self.pca is None else self.pca.transform(embeddings)

    def encode_items(self, embeddings: Tensor) -> Tensor:
        """The tokenizer's codes `[n, L]` of embeddings `[n, d]`, before any collision handling.

        Raises:
            InputError: if the IDs were imported, so that there is no tokenizer.
        """
        if self.tokenizer is None:
            raise InputError("Imported semantic IDs come without a tokenizer for new items.")
        return self.tokenizer.encode(embeddings)

    def state(self) -> dict[str, Any]:
        """All but the item embeddings as tensors and plain values, for a checkpoint."""
        tokenizer, encoder = self.tokenizer, self.text_encoder
        return {
            "codes": self.semantic_ids.codes,
            "codebook_sizes": self.semantic_ids.codebook_sizes,
            "item_tokens": self.item_tokens,
            "item_texts": self.item_texts,
            "item_titles": self.item_titles,
            "settings": self.settings,
            "report": self.report,
            "tokenizer": tokenizer and {"dim": tokenizer.dim, "state": _cpu_state(tokenizer)},
            "text_encoder": encoder and {"name": encoder.name, "state": encoder.state_dict()},
            "pca": self.pca and self.pca.state_dict(),
        }

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], device: torch.device | str = "cpu"
    ) -> TokenizerStage:
        """The stage that `state` was taken of; `device` is where it encodes new items."""
        tokenizer = text_encoder = pca = None
        if state["tokenizer"]:
            tokenizer = create_tokenizer(state["settings"], state["tokenizer"]["dim"]).to(device)
            tokenizer.load_state_dict(state["tokenizer"]["state"])
        if state["text_encoder"]:
            text_encoder = build_text_encoder(state["text_encoder"]["name"], device=device)
            text_encoder.load_state_dict(state["text_encoder"]["state"])
        if state["pca"]:
            pca = PCA(len(state["pca"]["components"]))
            pca.load_state_dict(state["pca"])
        return cls(
            semantic_ids=SemanticIDs(state["codes"], state["codebook_sizes"]),
            item_embeddings=None,
            text_encoder=text_encoder,
            pca=pca,
            tokenizer=tokenizer,
            **{
                name: state[name]
                for name in ("item_tokens", "item_texts", "item_titles", "settings", "report")
            },
        )


def run_tokenizer_stage(config, dataset) -> TokenizerStage:
    """Give every item of the data set a semantic ID.

    The codes come from `sid_file` if set, else from the `tokenizer`. It is fitted on the vectors of
    `item_embedding_file` if set, else on the embeddings of the item texts. What was built before
    from the same settings and data is read from `<checkpoint_dir>/semantic_ids`.

    Args:
        config: the settings in `properties/tokenizer`.
        dataset: has `item_tokens`, the raw token of every item by internal id.

    Raises:
        InputError: if a setting or a file cannot work.
    """
    item_tokens = list(dataset.item_tokens)
    root = Path(config["checkpoint_dir"]) / "semantic_ids"
    item_texts, item_titles = _read_texts(config, item_tokens)
    embeddings = None
    if config["item_embedding_file"] or not config["sid_file"]:
        embeddings = build_item_embeddings(config, item_tokens, item_texts, root)
    settings = tokenizer_settings(config)
    item_counts = _interactions_per_item(dataset)
    cache = _cache_folder(config, settings, item_tokens, embeddings, item_counts, root)
    vectors = embeddings and embeddings.vectors
    tokenizer = None
    if not config["sid_file"]:
        tokenizer = create_tokenizer(settings, vectors.shape[1]).to(config["device"])
    built = cache.ensure(
        lambda folder: _build(
            folder, config, settings, item_tokens, tokenizer, vectors, item_counts
        )
    )
    report = json.loads((cache.path / "report.json").read_text(encoding="utf-8"))
    if tokenizer is not None:
        tokenizer.load_state_dict(torch.load(cache.path / "tokenizer.pt", weights_only=True))
    getLogger().info(f"Semantic IDs {'written to' if built else 'from the cache'} {cache.path}")
    getLogger().info(format_report(report))
    return TokenizerStage(
        semantic_ids=SemanticIDs.load(cache.path / "semantic_ids.pt"),
        item_tokens=item_tokens,
        item_texts=item_texts,
        item_titles=item_titles,
        item_embeddings=vectors,
        text_encoder=embeddings and embeddings.text_encoder,
        pca=embeddings and embeddings.pca,
        tokenizer=tokenizer,
        settings=settings,
        report=report,
        folder=cache.path,
    )


def tokenizer_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a tokenizer is constructed with and that decide its codes."""
    known = getattr(config, "final_config_dict", config)  # RecBole's Config cannot be iterated
    return {
        key: config[key] for key in known if key.startswith("tokenizer") or key in FURTHER_SETTINGS
    }


def _read_texts(config, item_tokens: list[str]) -> tuple[list[str] | None, list[str] | None]:
    """Texts and titles of all items; without them where they are not needed and not to be had."""
    try:
        return read_item_texts(config, item_tokens), read_item_titles(config, item_tokens)
    except InputError:
        if config["item_embedding_file"] or config["sid_file"]:
            return None, None
        raise


def _interactions_per_item(dataset) -> Tensor:
    """How often each item but the padding item occurs in the data set, `[n]`."""
    items = np.asarray(dataset.inter_feat[dataset.iid_field])
    return torch.from_numpy(np.bincount(items, minlength=len(dataset.item_tokens))[1:])


def _cache_folder(
    config,
    settings: dict[str, Any],
    item_tokens: list[str],
    embeddings: ItemEmbeddings | None,
    item_counts: Tensor,
    root: Path,
) -> CacheFolder:
    identity = {
        "items": hash_texts(item_tokens),
        "interactions_per_item": hash_texts(map(str, item_counts.tolist())),
        "embeddings": embeddings and embeddings.cache.fingerprint,
    }
    if config["sid_file"]:
        if not Path(config["sid_file"]).is_file():
            raise InputError(f"sid_file: there is no file {config['sid_file']}.")
        name = "imported"
        identity["sid_file"] = hash_file(config["sid_file"])
        identity |= {key: settings.get(key) for key in FURTHER_SETTINGS}
    else:
        name = settings["tokenizer"]
        identity |= settings
    return CacheFolder(root, f"{config['dataset']}-{name}", identity)


def _build(
    folder: Path,
    config,
    settings: dict[str, Any],
    item_tokens: list[str],
    tokenizer: ItemTokenizer | None,
    vectors: Tensor | None,
    item_counts: Tensor,
) -> None:
    """Write `semantic_ids.pt`, `report.json`, `report.png` and, if there is one, `tokenizer.pt`."""
    if tokenizer is None:
        codes, sizes = read_codes(config["sid_file"], item_tokens[1:])
    else:
        codes = tokenizer.fit(vectors[1:]).encode(vectors[1:])
        sizes = tokenizer.codebook_sizes
        torch.save(_cpu_state(tokenizer), folder / "tokenizer.pt")
    unique, unique_sizes = _make_unique(codes, sizes, settings, tokenizer, vectors)
    padded = torch.nn.functional.pad(unique, (0, 0, 1, 0))  # row 0 = the padding item
    semantic_ids = SemanticIDs(padded, unique_sizes)
    semantic_ids.save(folder / "semantic_ids.pt")
    given = None if vectors is None else vectors[1:]
    report = quality_report(codes, semantic_ids, given, tokenizer, item_counts)
    (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    if find_spec("matplotlib"):
        plot_report(report, folder / "report.png")
    else:
        getLogger().info('No report.png: pip install "recbole-genrec[plot]" draws it.')


def _make_unique(
    codes: Tensor,
    sizes: list[int],
    settings: dict[str, Any],
    tokenizer: ItemTokenizer | None,
    vectors: Tensor | None,
) -> tuple[Tensor, list[int]]:
    """Codes `[n, L]` without collisions; imported ones that have none stay as they are."""
    if tokenizer is None and len(codes.unique(dim=0)) == len(codes):
        return codes, sizes

    def distances(rows: Tensor, codes: Tensor) -> Tensor:
        return tokenizer.last_level_distances(vectors[1:][rows], codes)

    return resolve_collisions(
        codes,
        sizes,
        settings["collision"],
        settings["seed"],
        append_size=settings["append_size"],
        distances=None if tokenizer is None else distances,
    )


def _cpu_state(tokenizer: ItemTokenizer) -> dict[str, Tensor]:
    return {name: tensor.cpu() for name, tensor in tokenizer.state_dict().items()}
