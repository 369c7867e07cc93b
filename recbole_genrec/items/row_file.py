"""A ``.npy`` file that is filled chunk by chunk, and goes on where a killed process stopped."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm


def fill_rows(
    path: Path,
    num_rows: int,
    rows: Callable[[int, int], np.ndarray],
    chunk_size: int,
    progress: str | None = None,
) -> np.ndarray:
    """Write a float32 array `[num_rows, d]` of which no more than a chunk is ever in memory.

    Args:
        path: the file; whole rows that it holds already are kept and not computed again.
        num_rows: number of rows when complete.
        rows: `rows(begin, end)` computes rows begin..end-1, `[end - begin, d]`.
        chunk_size: rows per call.
        progress: title of a progress bar; None for no bar.

    Returns:
        The complete array, memory-mapped; what is written to it stays in memory.
    """
    done = _drop_partial_row(path, num_rows)
    with (
        open(path, "ab") as file,
        tqdm(total=num_rows, initial=done, desc=progress, disable=not progress, delay=1) as bar,
    ):
        for begin in range(done, num_rows, chunk_size):
            chunk = np.ascontiguousarray(rows(begin, min(begin + chunk_size, num_rows)), "<f4")
            if begin == 0:
                _write_header(file, (num_rows, chunk.shape[1]))
            file.write(chunk.tobytes())
            file.flush()
            bar.update(len(chunk))
    return np.load(path, mmap_mode="c")


def _write_header(file, shape: tuple[int, int]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _drop_partial_row(path: Path, num_rows: int) -> int:
    """Cut the file after its last whole row, or empty it if it holds none; count the rows kept."""
    if not path.exists():
        return 0
    done = end = 0
    with open(path, "r+b") as file:
        try:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            fits = dtype == np.float32 and len(shape) == 2 and shape[0] == num_rows
        except ValueError:  # killed while the header was written
            fits = False
        if fits:
            start, row_bytes = file.tell(), 4 * shape[1]
            done = min((os.path.getsize(path) - start) // row_bytes, num_rows)
            end = start + done * row_bytes if done else 0
        file.truncate(end)
    return done
