"""The tokenizer stage: from item texts, embeddings or given codes to unique semantic IDs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recbole_genrec.cache import CacheFolder, hash_file, hash_texts
from recbole_genrec.config.layers import tokenizer_keys
from recbole_genrec.errors import InputError
from recbole_genrec.items.embeddings import ItemEmbeddings, build_item_embeddings
from recbole_genrec.items.pca import PCA
from recbole_genrec.items.text_encoder import TextEncoder, restore_text_encoder
from recbole_genrec.items.texts import read_item_texts, read_item_titles
from recbole_genrec.tokenizer.base import ItemTokenizer
from recbole_genrec.tokenizer.collision import resolve_collisions
from recbole_genrec.tokenizer.formats import read_codes
from recbole_genrec.tokenizer.quality.format import format_report
from recbole_genrec.tokenizer.quality.plot import plot_report
from recbole_genrec.tokenizer.quality.report import add_purity_gains, quality_report
from recbole_genrec.tokenizer.registry import create_tokenizer
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs


@dataclass
class TokenizerStage:
    """The items of a data set in the language of generative models.

    Attributes:
        semantic_ids: one unique semantic ID per item.
        item_tokens: raw token of every item, index = internal id; index 0 is the padding item.
        item_titles: what to call every item, index = internal id; None where no name is known.
        item_embeddings: `[n_items, d]`, row 0 zero; None for imported IDs without embeddings, and
            after `from_state`.
        text_encoder: what made the embeddings of texts; None where they were given.
        pca: what reduced the embeddings to `text_embedding_dim`; None where nothing did.
        tokenizer: what made the codes of the embeddings; None for imported IDs.
        settings: what the tokenizer was constructed with.
        report: the quality report; with the purity gains after `add_purity`.
        folder: where the stage lies on disk; None after `from_state`.
    """

    semantic_ids: SemanticIDs
    item_tokens: list[str]
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

    def add_purity(self, item_counter: Mapping[int, int]) -> None:
        """Add to the report how pure the training interactions of the codes are.

        Args:
            item_counter: training interactions of each item, by internal id.
        """
        counts = [item_counter.get(item, 0) for item in range(1, len(self.item_tokens))]
        add_purity_gains(self.report, self.semantic_ids, torch.tensor(counts))
        gains = [f"{level['purity_gain']:.3f}" for level in self.report["levels"]]
        getLogger().info(f"Purity gain of the levels in training: {', '.join(gains)}")

    def state(self) -> dict[str, Any]:
        """All but the item embeddings as tensors and plain values, for a checkpoint."""
        tokenizer, encoder = self.tokenizer, self.text_encoder
        return {
            "codes": self.semantic_ids.codes,
            "codebook_sizes": self.semantic_ids.codebook_sizes,
            "item_tokens": self.item_tokens,
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
            text_encoder = restore_text_encoder(**state["text_encoder"], device=device)
        if state["pca"]:
            pca = PCA(len(state["pca"]["components"]))
            pca.load_state_dict(state["pca"])
        return cls(
            semantic_ids=SemanticIDs(state["codes"], state["codebook_sizes"]),
            item_embeddings=None,
            text_encoder=text_encoder,
            pca=pca,
            tokenizer=tokenizer,
            **{name: state[name] for name in ("item_tokens", "item_titles", "settings", "report")},
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
    stage = _StageBuilder(config, dataset)
    cache = stage.cache_folder()
    built = cache.ensure(stage.build)
    result = stage.load(cache.path)
    getLogger().info(f"Semantic IDs {'written to' if built else 'from the cache'} {cache.path}")
    getLogger().info(format_report(result.report))
    return result


def tokenizer_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide the codes of given embeddings: those of its YAML files."""
    return {key: config[key] for key in (*tokenizer_keys(config["tokenizer"]), "seed")}


class _StageBuilder:
    """What goes into the stage of one configuration, and how to build or restore it."""

    def __init__(self, config, dataset) -> None:
        self.config = config
        self.settings = tokenizer_settings(config)
        self.sid_file = config["sid_file"] and Path(config["sid_file"]).expanduser()
        if self.sid_file and not self.sid_file.is_file():
            raise InputError(f"sid_file: there is no file {self.sid_file}.")
        self.root = Path(config["checkpoint_dir"]) / "semantic_ids"
        self.item_tokens = list(dataset.item_tokens)
        self.item_texts, self.item_titles = self._read_texts()
        self.embeddings: ItemEmbeddings | None = None
        self.vectors: Tensor | None = None  # [n_items, d]
        self.tokenizer: ItemTokenizer | None = None
        if config["item_embedding_file"] or not self.sid_file:
            self.embeddings = build_item_embeddings(
                config, self.item_tokens, self.item_texts, self.root
            )
            self.vectors = self.embeddings.vectors
        if not self.sid_file:
            tokenizer = create_tokenizer(self.settings, self.vectors.shape[1])
            self.tokenizer = tokenizer.to(config["device"])

    def _read_texts(self) -> tuple[list[str] | None, list[str] | None]:
        """Texts and titles; without them where they are not needed and not to be had."""
        try:
            texts = read_item_texts(self.config, self.item_tokens)
            return texts, read_item_titles(self.config, self.item_tokens)
        except InputError as error:
            if not (self.config["item_embedding_file"] or self.sid_file):
                raise
            getLogger().info(f"Items go without texts and titles: {error}")
            return None, None

    def cache_folder(self) -> CacheFolder:
        identity = {
            "items": hash_texts(self.item_tokens),
            "embeddings": self.embeddings and self.embeddings.fingerprint,
        }
        if self.sid_file:
            name = "imported"
            identity["sid_file"] = hash_file(self.sid_file)
            identity |= {key: self.settings[key] for key in ("collision", "append_size", "seed")}
        else:
            name = self.settings["tokenizer"]
            identity |= self.settings
        return CacheFolder(self.root, f"{self.config['dataset']}-{name}", identity)

    def build(self, folder: Path) -> None:
        """Write semantic IDs, report and, if there is one, the tokenizer."""
        vectors = None if self.vectors is None else self.vectors[1:]
        if self.tokenizer is None:
            codes, sizes = read_codes(self.sid_file, self.item_tokens[1:])
        else:
            getLogger().info(f"{self.settings['tokenizer']}: training on {len(vectors)} items")
            self.tokenizer.progress_file = folder / "progress.pt"
            codes = self.tokenizer.fit(vectors).encode(vectors)  # [n, L]
            sizes = self.tokenizer.codebook_sizes
            torch.save(_cpu_state(self.tokenizer), folder / "tokenizer.pt")
            self.tokenizer.progress_file.unlink(missing_ok=True)
        unique, unique_sizes = self._make_unique(codes, sizes)
        padded = torch.nn.functional.pad(unique, (0, 0, 1, 0))  # row 0 = the padding item
        semantic_ids = SemanticIDs(padded, unique_sizes)
        semantic_ids.save(folder / "semantic_ids.pt")
        report = quality_report(codes, semantic_ids, vectors, self.tokenizer)
        (folder / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        if find_spec("matplotlib"):
            plot_report(report, folder / "report.png")
        else:
            getLogger().info('No report.png: pip install "recbole-genrec[plot]" draws it.')

    def _make_unique(self, codes: Tensor, sizes: list[int]) -> tuple[Tensor, list[int]]:
        """Codes `[n, L]` without collisions; imported ones that have none stay as they are."""
        if self.tokenizer is None and len(codes.unique(dim=0)) == len(codes):
            return codes, sizes

        def distances(rows: Tensor, codes: Tensor) -> Tensor:
            return self.tokenizer.last_level_distances(self.vectors[1:][rows], codes)

        return resolve_collisions(
            codes,
            sizes,
            self.settings["collision"],
            self.settings["seed"],
            append_size=self.settings["append_size"],
            distances=self.tokenizer and distances,
        )

    def load(self, folder: Path) -> TokenizerStage:
        """The stage that `build` has written."""
        if self.tokenizer is not None:
            state = torch.load(folder / "tokenizer.pt", weights_only=True)
            self.tokenizer.load_state_dict(state)
        return TokenizerStage(
            semantic_ids=SemanticIDs.load(folder / "semantic_ids.pt"),
            item_tokens=self.item_tokens,
            item_titles=self.item_titles,
            item_embeddings=self.vectors,
            text_encoder=self.embeddings and self.embeddings.encoder.text_encoder,
            pca=self.embeddings and self.embeddings.encoder.pca,
            tokenizer=self.tokenizer,
            settings=self.settings,
            report=json.loads((folder / "report.json").read_text(encoding="utf-8")),
            folder=folder,
        )


def _cpu_state(tokenizer: ItemTokenizer) -> dict[str, Tensor]:
    return {name: tensor.cpu() for name, tensor in tokenizer.state_dict().items()}
