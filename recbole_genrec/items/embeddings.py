"""One vector per item, from its text or from a file of the user's; kept on disk between runs."""

from __future__ import annotations

from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_genrec.cache import CacheFolder, hash_file, hash_texts
from recbole_genrec.errors import InputError
from recbole_genrec.items.embedding_file import EmbeddingFile
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.items.pca import PCA
from recbole_genrec.items.row_file import fill_rows
from recbole_genrec.items.text_encoder import TfidfEncoder, build_text_encoder

CHUNK = 65_536  # rows that are projected or copied at a time


@dataclass
class ItemEmbeddings:
    """The vectors of all items, and what it takes to make those of further items.

    Attributes:
        vectors: `[n_items, d]`, perhaps memory-mapped; row 0, the padding item, is zero. None in a
            checkpoint, which has no need of them.
        encoder: what makes embeddings of further items.
        fingerprint: of all that the vectors depend on.
    """

    vectors: Tensor | None
    encoder: ItemEncoder
    fingerprint: str = ""


def build_item_embeddings(
    config, item_tokens: list[str], item_texts: list[str] | None, root: Path
) -> ItemEmbeddings:
    """The embeddings of all items: those of `item_embedding_file` if set, else of the item texts.

    They are taken from the cache where an earlier run, or one that was killed on the way, has left
    them. Tokenizers share them: another tokenizer on the same texts encodes nothing again.

    Args:
        config: needs `dataset`, `item_embedding_file`, `item_embedding_ids`, `text_encoder`,
            `text_embedding_dim`, `text_batch_size`, `device` and `show_progress`.
        item_tokens: raw token of every item, index = internal id; index 0 is the padding item.
        item_texts: text of every item; not needed with `item_embedding_file`.
        root: folder of all caches.

    Raises:
        InputError: for a setting or a file that cannot work.
    """
    for key in ("text_embedding_dim", "text_batch_size"):
        if config[key] is not None and not (isinstance(config[key], int) and config[key] >= 1):
            raise InputError(f"{key} should be an integer >= 1, found [{config[key]}]")
    if config["item_embedding_file"]:
        source = _GivenSource(config, item_tokens)
    else:
        source = _TextSource(config, item_texts)
    identity = {"items": hash_texts(item_tokens), "pca": source.pca_dim, **source.identity()}
    cache = CacheFolder(root, f"{config['dataset']}-{source.name}", identity)
    progress = source.progress if config["show_progress"] else None
    built = cache.ensure(lambda folder: _build(folder, source, len(item_tokens), progress))
    embeddings = _load(cache, config["device"])
    getLogger().info(
        f"Item embeddings {list(embeddings.vectors.shape)}: "
        f"{'written to' if built else 'from the cache'} {cache.path}"
    )
    return embeddings


class _TextSource:
    """Vectors that a text encoder makes."""

    progress = "Encode item texts"

    def __init__(self, config, texts: list[str]) -> None:
        self.texts = texts
        self.encoder = build_text_encoder(
            config["text_encoder"],
            config["text_embedding_dim"],
            config["device"],
            config["text_batch_size"],
        )
        learns_dim = isinstance(self.encoder, TfidfEncoder)
        self.pca_dim = None if learns_dim else config["text_embedding_dim"]
        self.name = Path(self.encoder.name).name
        self.chunk = self.encoder.chunk

    def identity(self) -> dict[str, Any]:
        return {"texts": hash_texts(self.texts), **self.encoder.identity}

    def prepare(self) -> None:
        self.encoder.fit(self.texts[1:])

    def rows(self, begin: int, end: int) -> np.ndarray:
        return self.encoder.encode(self.texts[begin:end]).numpy()


class _GivenSource:
    """Vectors from a file."""

    progress = "Read item embeddings"
    encoder = None
    chunk = CHUNK

    def __init__(self, config, item_tokens: list[str]) -> None:
        self.file = EmbeddingFile(
            config["item_embedding_file"], config["item_embedding_ids"], item_tokens[1:]
        )
        self.pca_dim = config["text_embedding_dim"]
        self.name = "embeddings"

    def identity(self) -> dict[str, Any]:
        return {"item_embedding_file": [hash_file(path) for path in self.file.files]}

    def prepare(self) -> None:
        """Nothing to learn."""

    def rows(self, begin: int, end: int) -> np.ndarray:
        return self.file.rows(begin - 1, end - 1)


def _build(
    folder: Path,
    source: _TextSource | _GivenSource,
    num_items: int,
    progress: str | None,
) -> None:
    """Write `embeddings.npy` and `encoder.pt`."""
    source.prepare()

    def rows(begin: int, end: int) -> np.ndarray:
        vectors = source.rows(max(begin, 1), end)
        return np.pad(vectors, ((1, 0), (0, 0))) if begin == 0 else vectors

    full_path = folder / "full.npy"
    full = fill_rows(full_path, num_items, rows, source.chunk, progress)
    pca = _fit_pca(full[1:], source.pca_dim)
    if pca is None:
        full_path.replace(folder / "embeddings.npy")
    else:
        fill_rows(
            folder / "embeddings.npy", num_items, lambda b, e: _project(pca, full, b, e), CHUNK
        )
        full_path.unlink()
    torch.save(ItemEncoder(source.encoder, pca).state_dict(), folder / "encoder.pt")


def _fit_pca(vectors: np.ndarray, dim: int | None) -> PCA | None:
    """What reduces vectors `[n, d]` to `dim`; None where they have no more dimensions than that."""
    if not dim or vectors.shape[1] <= dim:
        if dim and vectors.shape[1] < dim:
            getLogger().warning(
                f"text_embedding_dim is {dim}, but item embeddings have {vectors.shape[1]} "
                "dimensions only, and keep them."
            )
        return None
    if len(vectors) < dim:
        getLogger().warning(
            f"text_embedding_dim is {dim}, but {len(vectors)} items span fewer dimensions: "
            f"their embeddings get {len(vectors)}."
        )
    return PCA(min(dim, len(vectors))).fit(vectors)


def _project(pca: PCA, full: np.ndarray, begin: int, end: int) -> np.ndarray:
    rows = pca.transform(torch.from_numpy(full[begin:end])).numpy()
    if begin == 0:
        rows[0] = 0  # the padding item
    return rows


def _load(cache: CacheFolder, device: torch.device | str) -> ItemEmbeddings:
    vectors = torch.from_numpy(np.load(cache.path / "embeddings.npy", mmap_mode="c"))
    state = torch.load(cache.path / "encoder.pt", weights_only=True)
    return ItemEmbeddings(vectors, ItemEncoder.from_state(state, device), cache.fingerprint)
