"""One vector per item, from its text or from a file of the user's; kept on disk between runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_genrec.cache import CacheFolder, hash_file, hash_texts
from recbole_genrec.items.embedding_file import EmbeddingFile
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.items.pca import PCA
from recbole_genrec.items.row_file import fill_rows
from recbole_genrec.items.text_encoder import TextEncoder, TfidfEncoder
from recbole_genrec.plain import save_tensors

CHUNK = 65_536  # rows that are projected or copied at a time


@dataclass
class ItemEmbeddings:
    """The vectors of all items, and what it takes to make those of further items.

    Attributes:
        vectors: `[n_items, d]`, perhaps memory-mapped; row 0, the padding item, is zero. None in a
            checkpoint, which has no need of them.
        encoder: what makes embeddings of further items.
        source: what they come from, in a word that file names can hold.
        fingerprint: of all that the vectors depend on.
    """

    vectors: Tensor | None
    encoder: ItemEncoder
    source: str = ""
    fingerprint: str = ""

    @property
    def rows(self) -> Tensor:
        """The vectors `[n, d]` without that of the padding item."""
        if self.vectors is None:
            raise ValueError("embeddings that a checkpoint carries have no vectors")
        return self.vectors[1:]


class Source(ABC):
    """Where the raw vectors of all items come from, chunk by chunk.

    Attributes:
        name: what they come from, in a word that file names can hold.
        encoder: what makes them of texts, if anything does.
        chunk: how many to make at a time.
        progress: title of a progress bar.
    """

    name: str
    encoder: TextEncoder | None = None
    chunk: int
    progress: str

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the raw vectors, beside the items."""

    @abstractmethod
    def prepare(self) -> None:
        """Learn what has to be learned before the first rows."""

    @abstractmethod
    def rows(self, begin: int, end: int) -> np.ndarray:
        """Raw vectors `[end - begin, d_raw]` of items begin..end-1, none of them the padding."""


class TextSource(Source):
    """Vectors that a text encoder makes.

    Args:
        encoder: not fitted yet.
        texts: of every item; that of row 0, the padding item, is not looked at.
    """

    encoder: TextEncoder
    progress = "Encode item texts"

    def __init__(self, encoder: TextEncoder, texts: Sequence[str]) -> None:
        self.encoder, self.texts = encoder, texts
        self.name = Path(encoder.name).name
        self.chunk = encoder.chunk

    @property
    def identity(self) -> dict[str, Any]:
        return {"texts": hash_texts(self.texts), **self.encoder.identity}

    def prepare(self) -> None:
        self.encoder.fit(self.texts[1:])

    def rows(self, begin: int, end: int) -> np.ndarray:
        return self.encoder.encode(self.texts[begin:end]).numpy()


class FileSource(Source):
    """Vectors from a file."""

    progress = "Read item embeddings"
    chunk = CHUNK

    def __init__(self, file: EmbeddingFile) -> None:
        self.file = file
        self.name = file.path.stem

    @property
    def identity(self) -> dict[str, Any]:
        return {"item_embedding_file": [hash_file(path) for path in self.file.files]}

    def prepare(self) -> None:
        """Nothing to learn."""

    def rows(self, begin: int, end: int) -> np.ndarray:
        return self.file.rows(begin - 1, end - 1)


def build_item_embeddings(
    config, item_tokens: Sequence[str], source: Source, root: Path
) -> ItemEmbeddings:
    """The embeddings of all items.

    They are taken from the cache where an earlier run, or one that was killed on the way, has left
    them. Tokenizers share them: another tokenizer on the same texts encodes nothing again.

    Args:
        config: needs `dataset`, `text_embedding_dim`, `device` and `show_progress`.
        item_tokens: raw token of every item, index = internal id; index 0 is the padding item.
        source: where the raw vectors come from.
        root: folder of all caches.
    """
    learns_dim = isinstance(source.encoder, TfidfEncoder)
    pca_dim = None if learns_dim else config["text_embedding_dim"]
    identity = {"items": hash_texts(item_tokens), "pca": pca_dim, **source.identity}
    cache = CacheFolder(root, f"{config['dataset']}-{source.name}", identity)
    progress = source.progress if config["show_progress"] else None

    def build(folder: Path) -> None:
        _build(folder, source, pca_dim, len(item_tokens), progress)

    cache.ensure(build, f"Item embeddings of {source.name}")
    vectors = torch.from_numpy(np.load(cache.path / "embeddings.npy", mmap_mode="c"))
    state = torch.load(cache.path / "encoder.pt", weights_only=True)
    encoder = ItemEncoder.from_state(state, config["device"])
    return ItemEmbeddings(vectors, encoder, source.name, cache.fingerprint)


def _build(
    folder: Path, source: Source, pca_dim: int | None, num_items: int, progress: str | None
) -> None:
    """Write `embeddings.npy` and `encoder.pt`."""
    source.prepare()

    def rows(begin: int, end: int) -> np.ndarray:
        vectors = source.rows(max(begin, 1), end)
        return np.pad(vectors, ((1, 0), (0, 0))) if begin == 0 else vectors

    full_path = folder / "full.npy"
    full = fill_rows(full_path, num_items, rows, source.chunk, progress)
    pca = _fit_pca(full[1:], pca_dim)
    if pca is None:
        full_path.replace(folder / "embeddings.npy")
    else:
        fill_rows(
            folder / "embeddings.npy", num_items, lambda b, e: _project(pca, full, b, e), CHUNK
        )
        full_path.unlink()
    save_tensors(ItemEncoder(source.encoder, pca).state_dict(), folder / "encoder.pt")


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
