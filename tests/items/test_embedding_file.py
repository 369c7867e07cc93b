"""Embeddings that the user brings: three formats, one order, and every way to get them wrong."""

import logging

import numpy as np
import pandas as pd
import pytest

from recbole_genrec.errors import InputError
from recbole_genrec.items.embedding_file import EmbeddingFile

IDS = ["c", "a", "b"]
VECTORS = np.arange(1, 13, dtype=np.float16).reshape(3, 4)


def write(folder, suffix, ids=IDS, vectors=VECTORS):
    """Write the rows in one of the formats; return the two paths that `EmbeddingFile` takes."""
    path = folder / f"items{suffix}"
    if suffix == ".npy":
        np.save(path, vectors)
        ids_path = folder / "items.ids.txt"
        ids_path.write_text("".join(f"{token}\n" for token in ids))
        return path, ids_path
    if suffix == ".npz":
        np.savez(path, ids=np.array(ids), embeddings=vectors)
    else:
        pytest.importorskip("pyarrow")
        pd.DataFrame({"item_id": ids, "embedding": list(vectors)}).to_parquet(path)
    return path, None


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_rows_follow_the_raw_tokens(tmp_path, suffix, caplog):
    with caplog.at_level(logging.INFO):
        file = EmbeddingFile(*write(tmp_path, suffix), ["b", "c"])
    assert (len(file), file.dim) == (2, 4)
    rows = file.rows(0, 2)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, VECTORS[[2, 0]])
    np.testing.assert_array_equal(file.rows(1, 2), VECTORS[[0]])
    assert "1 of 3 embeddings belong to items outside the data set" in caplog.text


def test_npy_stays_on_disk(tmp_path):
    assert isinstance(EmbeddingFile(*write(tmp_path, ".npy"), IDS).vectors, np.memmap)


def test_integer_ids_are_raw_tokens(tmp_path):
    path, _ = write(tmp_path, ".npz", ids=[7, 8, 9])
    np.testing.assert_array_equal(EmbeddingFile(path, None, ["9"]).rows(0, 1), VECTORS[[2]])


def with_value(value):
    vectors = VECTORS.copy()
    vectors[1] = value
    return vectors


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"ids": ["c", "a", "x"]}, r"no embedding for 1 item \(b\) of the data set's 3"),
        ({"ids": ["c", "c", "b"]}, r"more than one embedding for 1 item \(c\)"),
        ({"vectors": with_value(np.nan)}, r"the embeddings of 1 item \(a\) hold NaN or infinity"),
        ({"vectors": with_value(-np.inf)}, r"the embeddings of 1 item \(a\) hold NaN or infinity"),
        ({"vectors": with_value(0)}, r"the embeddings of 1 item \(a\) are zero throughout"),
        ({"vectors": VECTORS.astype(int)}, "expected floating-point embeddings, found int64"),
    ],
)
def test_bad_rows(tmp_path, suffix, others, message):
    with pytest.raises(InputError, match=rf"items\{suffix}.*{message}"):
        EmbeddingFile(*write(tmp_path, suffix, **others), ["a", "b", "c"]).rows(0, 3)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"vectors": VECTORS[:2]}, "2 embeddings but 3 item ids"),
        ({"vectors": VECTORS[0]}, r"expected embeddings of shape \[rows, d\], found \[4\]"),
        ({"vectors": VECTORS[None]}, r"expected embeddings of shape .* found \[1, 3, 4\]"),
    ],
)
def test_bad_shape(tmp_path, suffix, others, message):
    with pytest.raises(InputError, match=rf"items\{suffix}.*{message}"):
        EmbeddingFile(*write(tmp_path, suffix, **others), IDS)


def test_parquet_rows_of_unequal_length(tmp_path):
    path, _ = write(tmp_path, ".parquet", vectors=[np.ones(4), np.ones(3), np.ones(4)])
    with pytest.raises(InputError, match=r"embeddings differ in length: \[4, 3\]"):
        EmbeddingFile(path, None, IDS)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_truncated_file(tmp_path, suffix):
    path, ids = write(tmp_path, suffix)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=rf"items\{suffix} cannot be read as a \{suffix} file"):
        EmbeddingFile(path, ids, IDS)


@pytest.mark.parametrize(
    ("path", "ids", "message"),
    [
        ("nowhere.npy", "ids.txt", r"item_embedding_file: there is no file .*nowhere\.npy"),
        ("items.csv", None, r"items\.csv: expected \.npy, \.npz or \.parquet"),
        ("items.npy", None, r"items\.npy needs `item_embedding_ids`"),
        ("items.npy", "nowhere.txt", r"item_embedding_ids: there is no file .*nowhere\.txt"),
        ("other.npz", "ids.txt", r"item_embedding_ids \[.*ids.txt\] belongs to \.npy files"),
        ("other.npz", None, r"other\.npz: no array \['ids'\]; it holds \['embeddings'\]"),
        ("other.parquet", None, r"no column \['embedding'\]; its columns are \['item_id'\]"),
    ],
)
def test_bad_files(tmp_path, path, ids, message):
    (tmp_path / "items.csv").write_text("a,1,2")
    np.save(tmp_path / "items.npy", VECTORS)
    np.savez(tmp_path / "other.npz", embeddings=VECTORS)
    if path.endswith(".parquet"):
        pytest.importorskip("pyarrow")
        pd.DataFrame({"item_id": IDS}).to_parquet(tmp_path / path)
    with pytest.raises(InputError, match=message):
        EmbeddingFile(tmp_path / path, ids and tmp_path / ids, IDS)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_damaged_files_are_one_line_whatever_is_damaged(tmp_path, suffix):
    path, ids_path = write(tmp_path, suffix, vectors=VECTORS.astype(np.float32))
    if suffix == ".npz":
        np.savez_compressed(path, ids=np.array(IDS), embeddings=VECTORS)
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 0xFF
        path.write_bytes(content)
        try:
            EmbeddingFile(path, ids_path, IDS).rows(0, 3)
        except InputError as error:
            assert path.name in str(error)
            refused += 1
    assert refused > 20
