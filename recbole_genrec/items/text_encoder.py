"""Text encoders: item texts in, one vector per item out."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.preprocessing import normalize
from torch import Tensor

from recbole_genrec.errors import InputError, nearest


class TextEncoder(ABC):
    """Maps texts to vectors; what it has learned, tensors and plain values, fits a checkpoint."""

    name: str
    chunk = 65_536  # texts to encode per call, so that memory stays bounded

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Everything but the texts that decides what `fit` and `encode` compute."""

    @abstractmethod
    def fit(self, texts: Sequence[str]) -> TextEncoder:
        """Learn from the texts of a catalogue, or get ready where there is nothing to learn."""

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Tensor:
        """One float32 vector per text, `[len(texts), d]`, of length 1, on the CPU."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]: ...

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class TfidfEncoder(TextEncoder):
    """TF-IDF of word fragments, reduced by a truncated SVD (latent semantic analysis).

    Needs no download and is deterministic. Fragments of 2 to 4 characters within a word rather than
    whole words: titles are short, and "shampoo", "shampoos" and "shampooing" should be alike. A
    text without any known fragment, of which nothing can be said, gets the mean direction of all.

    Args:
        dim: dimension of the vectors; fewer where the texts span fewer.
    """

    name = "tfidf"
    max_terms = 20_000
    fragments = {"analyzer": "char_wb", "ngram_range": (2, 4)}
    max_fit_texts = 200_000  # more of them change little

    def __init__(self, dim: int = 128) -> None:
        self.dim = dim
        self.terms: list[str] = []
        self.idf = torch.empty(0)  # [n_terms]
        self.components = torch.empty(0, 0)  # [d, n_terms]
        self.mean = torch.empty(0)  # [d]

    @property
    def identity(self) -> dict[str, Any]:
        limits = {"dim": self.dim, "max_terms": self.max_terms, "max_fit_texts": self.max_fit_texts}
        return {"text_encoder": self.name, **limits, **self.fragments, "sublinear_tf": True}

    def fit(self, texts: Sequence[str]) -> TfidfEncoder:
        if not any(text.strip() for text in texts):
            raise InputError("No item has any text: there is nothing that tfidf could encode.")
        if len(texts) > self.max_fit_texts:
            texts = random.Random(0).sample(list(texts), self.max_fit_texts)
        words, in_texts = _count(texts, analyzer=_words)  # [n, n_words]
        terms, in_words = _count(words, **self.fragments)  # [n_words, n_terms]
        totals = np.asarray(in_texts.sum(axis=0) @ in_words).ravel()
        kept = np.sort((-totals).argsort()[: self.max_terms])
        self.terms = terms[kept].tolist()
        weighting = TfidfTransformer(sublinear_tf=True)
        weights = weighting.fit_transform(in_texts @ in_words[:, kept])  # sparse [n, n_terms]
        svd = TruncatedSVD(min(self.dim, *weights.shape), random_state=0).fit(weights)
        spanned = svd.singular_values_ > 1e-5 * svd.singular_values_[0]
        if spanned.sum() < self.dim:
            getLogger().info(
                f"{len(texts)} texts of {weights.shape[1]} terms span {spanned.sum()} dimensions; "
                f"their embeddings have as many instead of {self.dim}."
            )
        self.idf = torch.from_numpy(weighting.idf_)
        self.components = torch.from_numpy(svd.components_[spanned])
        vectors = normalize(weights @ self.components.numpy().T)
        self.mean = torch.from_numpy(normalize(vectors.mean(axis=0, keepdims=True))[0])
        return self

    def encode(self, texts: Sequence[str]) -> Tensor:
        weighting = TfidfTransformer(sublinear_tf=True)
        weighting.idf_ = self.idf.numpy()
        weights = weighting.transform(self._term_counts(texts))  # sparse [n, n_terms]
        vectors = torch.from_numpy(normalize(weights @ self.components.numpy().T))  # [n, d]
        return torch.where(vectors.any(dim=1, keepdim=True), vectors, self.mean)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("terms", "idf", "components", "mean")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self.state_dict():
            setattr(self, name, state[name])

    def _term_counts(self, texts: Sequence[str]) -> csr_matrix:
        """How often each text has each term, sparse `[n, n_terms]`.

        No fragment goes beyond a word, and texts share their words: each word is taken apart once.
        """
        if not any(text.strip() for text in texts):
            return csr_matrix((len(texts), len(self.terms)), dtype=np.float32)
        words, in_texts = _count(texts, analyzer=_words)
        _, in_words = _count(words, vocabulary=self.terms, **self.fragments)
        return in_texts @ in_words


def _words(text: str) -> list[str]:
    return text.lower().split()


def _count(texts: Sequence[str] | np.ndarray, **settings: Any) -> tuple[np.ndarray, csr_matrix]:
    """Names of what is counted, and how often each text has it."""
    vectorizer = CountVectorizer(dtype=np.float32, **settings)
    counts = vectorizer.fit_transform(texts)
    return vectorizer.get_feature_names_out(), counts


class SentenceEncoder(TextEncoder):
    """Any Sentence-Transformers or Hugging Face encoder, by its name or its folder.

    A model that says nothing of pooling is mean-pooled. On a GPU it computes in bfloat16.

    Args:
        name: name on the Hugging Face hub, or a local folder.
        device: where to compute.
        batch_size: texts per forward pass.
    """

    chunk = 512  # what a killed process can lose

    def __init__(
        self, name: str | Path, device: torch.device | str = "cpu", batch_size: int = 128
    ) -> None:
        self.name = str(name)
        self.device = torch.device(device)
        self.batch_size = batch_size
        self._model: Any = None

    @property
    def identity(self) -> dict[str, Any]:
        """The name on the hub, or what lies in the folder: name, size and date of its files."""
        folder = Path(self.name).expanduser()
        if not folder.is_dir():
            return {"text_encoder": self.name}
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {
            "text_encoder": [
                [str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns]
                for path in files
            ]
        }

    def fit(self, texts: Sequence[str]) -> SentenceEncoder:
        """Load the model, so that a wrong name shows before anything is computed."""
        if self._model is None:
            self._model = _load_sentence_transformer(self.name, self.device)
        return self

    def encode(self, texts: Sequence[str]) -> Tensor:
        self.fit(texts)
        vectors = self._model.encode(
            list(texts),
            batch_size=self.batch_size,
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        return torch.nn.functional.normalize(vectors.float().cpu())

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The name says it all."""


SUGGESTED = (
    TfidfEncoder.name,
    "sentence-transformers/sentence-t5-base",
    "sentence-transformers/all-MiniLM-L6-v2",
)


def build_text_encoder(
    name: str,
    dim: int | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 128,
) -> TextEncoder:
    """A new encoder: `tfidf`, a model in a local folder, or one on the Hugging Face hub.

    Args:
        name: the setting `text_encoder`.
        dim: dimension of the vectors of `tfidf`. Other encoders have one of their own.
        device: where a neural encoder computes.
        batch_size: texts per forward pass of a neural encoder.

    Raises:
        InputError: if there is no name, or a misspelt `tfidf`. Models are looked for by `fit`.
    """
    if name == TfidfEncoder.name:
        return TfidfEncoder(dim) if dim else TfidfEncoder()
    if not name:
        raise InputError(
            f"`text_encoder` is not set. Give one of {', '.join(SUGGESTED)}, or a folder."
        )
    if Path(name).expanduser().is_dir():
        return SentenceEncoder(Path(name).expanduser(), device, batch_size)
    if misspelt := nearest(name, [TfidfEncoder.name]):
        raise InputError(f"there is no text_encoder named [{name}]{misspelt}")
    return SentenceEncoder(name, device, batch_size)


def restore_text_encoder(
    name: str, state: dict[str, Any], device: torch.device | str = "cpu"
) -> TextEncoder:
    """The encoder that was called `name` and had this `state_dict`.

    A neural encoder is loaded from its folder or the hub when it is first needed; a checkpoint
    recommends without it.
    """
    encoder = TfidfEncoder() if name == TfidfEncoder.name else SentenceEncoder(name, device)
    encoder.load_state_dict(state)
    return encoder


def _load_sentence_transformer(name: str, device: torch.device):
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise InputError(
            f"text_encoder '{name}' needs the package sentence-transformers: "
            'pip install "recbole-genrec[text]"'
        ) from error
    if not Path(name).is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise InputError(f"text_encoder '{name}': there is no such folder.")
    getLogger().info(f"Load the text encoder {name}.")
    try:
        model = SentenceTransformer(name, device=str(device))
    except Exception as error:  # whatever hub, transformers or file system have to say
        raise InputError(
            f"text_encoder '{name}' is neither '{TfidfEncoder.name}' nor a folder, and could not "
            f"be loaded from the Hugging Face hub ({str(error).splitlines()[0]})"
            f"{nearest(name, SUGGESTED)}"
        ) from error
    return model.bfloat16() if device.type == "cuda" else model
