"""Item embeddings that the user brings, keyed by raw item token.

=========  ==============================================================================
``.npy``   array `[rows, d]`; `item_embedding_ids` names a text file, one raw token per row
``.npz``   arrays `ids` `[rows]` and `embeddings` `[rows, d]`
Parquet    columns `item_id` and `embedding` (a list of numbers per row)
=========  ==============================================================================
"""

from __future__ import annotations

from logging import getLogger
from pathlib import Path

import numpy as np

from recbole_genrec.errors import InputError, first_few


class EmbeddingFile:
    """The rows of an embedding file in the order of our items.

    Args:
        path: ``.npy``, ``.npz`` or ``.parquet``; any floating-point type. An ``.npy`` file stays on
            disk and is read where needed.
        ids_path: only with ``.npy``: the raw token of each row.
        item_tokens: raw token of every item (without the padding item) in the order wanted.
            Further rows of the file are ignored.
        keys: the two settings that gave the paths, which messages name.

    Attributes:
        files: all that is read.

    Raises:
        InputError: if the file cannot be read, is not two-dimensional, or lacks an item.
    """

    def __init__(
        self,
        path: str | Path,
        ids_path: str | Path | None,
        item_tokens: list[str],
        keys: tuple[str, str] = ("item_embedding_file", "item_embedding_ids"),
    ) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise InputError(f"{keys[0]}: there is no file {path}.")
        ids, self.vectors = _read(self.path, ids_path, keys)
        self.files = [self.path]
        if ids_path:
            self.files.append(Path(ids_path).expanduser())
        self._check_form(ids)
        self.item_tokens = item_tokens
        self.row_of_item = self._match(ids)  # [n]

    def __len__(self) -> int:
        return len(self.row_of_item)

    @property
    def dim(self) -> int:
        return self.vectors.shape[1]

    def rows(self, begin: int, end: int) -> np.ndarray:
        """The vectors of items begin..end-1 as float32, `[end - begin, d]`.

        Raises:
            InputError: if one of them holds NaN or infinity, or is zero throughout.
        """
        vectors = self.vectors[self.row_of_item[begin:end]].astype(np.float32)
        for rule, broken in (
            ("hold NaN or infinity", ~np.isfinite(vectors).all(axis=1)),
            ("are zero throughout, which says nothing of an item", ~vectors.any(axis=1)),
        ):
            if broken.any():
                tokens = [self.item_tokens[begin + i] for i in np.flatnonzero(broken)]
                raise InputError(f"{self.path}: the embeddings of {_counted(tokens)} {rule}.")
        return vectors

    def _check_form(self, ids: list[str]) -> None:
        shape, dtype = self.vectors.shape, self.vectors.dtype
        if len(shape) != 2:
            raise InputError(
                f"{self.path}: expected embeddings of shape [rows, d], found {list(shape)}."
            )
        if not np.issubdtype(dtype, np.floating):
            raise InputError(f"{self.path}: expected floating-point embeddings, found {dtype}.")
        if shape[0] != len(ids):
            raise InputError(f"{self.path}: {shape[0]} embeddings but {len(ids)} item ids.")

    def _match(self, ids: list[str]) -> np.ndarray:
        """The row of each of our items."""
        row_of_id = {token: row for row, token in enumerate(ids)}
        if len(row_of_id) < len(ids):
            repeated = [token for row, token in enumerate(ids) if row_of_id[token] != row]
            repeated = list(dict.fromkeys(repeated))
            raise InputError(f"{self.path}: more than one embedding for {_counted(repeated)}.")
        lacking = [token for token in self.item_tokens if token not in row_of_id]
        if lacking:
            raise InputError(
                f"{self.path}: no embedding for {_counted(lacking)} "
                f"of the data set's {len(self.item_tokens)}."
            )
        if len(ids) > len(self.item_tokens):
            getLogger().info(
                f"{self.path}: {len(ids) - len(self.item_tokens)} of {len(ids)} embeddings belong "
                "to items outside the data set and are ignored."
            )
        return np.fromiter((row_of_id[token] for token in self.item_tokens), dtype=np.int64)


def _read(
    path: Path, ids_path: str | Path | None, keys: tuple[str, str]
) -> tuple[list[str], np.ndarray]:
    suffix = path.suffix.lower()
    readers = {".npz": _read_npz, ".parquet": _read_parquet}
    if suffix not in (".npy", *readers):
        raise InputError(f"{keys[0]} {path}: expected .npy, .npz or .parquet.")
    if suffix in readers and ids_path:
        raise InputError(
            f"{keys[1]} [{ids_path}] belongs to .npy files; {path} has ids of its own."
        )
    try:
        if suffix in readers:
            return readers[suffix](path)
        vectors = np.load(path, mmap_mode="r")
    except InputError:
        raise
    except Exception as error:  # for a damaged file numpy, zlib and pyarrow raise almost anything
        raise InputError(f"{path} cannot be read as a {suffix} file: {error!r}") from error
    return _read_ids(path, ids_path, keys), vectors


def _read_ids(path: Path, ids_path: str | Path | None, keys: tuple[str, str]) -> list[str]:
    if not ids_path:
        raise InputError(
            f"{keys[0]} {path} needs `{keys[1]}`: a text file with the raw item token of each of "
            "its rows."
        )
    ids_path = Path(ids_path).expanduser()
    if not ids_path.is_file():
        raise InputError(f"{keys[1]}: there is no file {ids_path}.")
    return ids_path.read_text(encoding="utf-8").rstrip("\n").split("\n")


def _read_npz(path: Path) -> tuple[list[str], np.ndarray]:
    with open(path, "rb") as file, np.load(file) as arrays:
        missing = {"ids", "embeddings"} - set(arrays.files)
        if missing:
            raise InputError(f"{path}: no array {sorted(missing)}; it holds {arrays.files}.")
        return arrays["ids"].astype(str).tolist(), arrays["embeddings"]


def _read_parquet(path: Path) -> tuple[list[str], np.ndarray]:
    try:
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(f'{path} needs pyarrow: pip install "recbole-genrec[parquet]"') from error
    names = pyarrow.parquet.read_schema(path).names
    missing = {"item_id", "embedding"} - set(names)
    if missing:
        raise InputError(f"{path}: no column {sorted(missing)}; its columns are {names}.")
    table = pyarrow.parquet.read_table(path, columns=["item_id", "embedding"])
    ids = [str(token) for token in table["item_id"].to_pylist()]
    column = table["embedding"].combine_chunks()
    lengths = pyarrow.compute.list_value_length(column)
    dims = pyarrow.compute.unique(lengths).to_pylist()
    if len(dims) != 1 or dims == [None]:
        raise InputError(f"{path}: embeddings differ in length: {dims}.")
    return ids, column.flatten().to_numpy(zero_copy_only=False).reshape(len(ids), -1)


def _counted(tokens: list[str]) -> str:
    """ "3 items (a, b, c)" """
    return f"{len(tokens)} {'item' if len(tokens) == 1 else 'items'} ({first_few(tokens)})"
