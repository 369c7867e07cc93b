"""Rows on disk: what a killed process has written is used, what it has not is computed."""

import numpy as np
import pytest

from recbole_genrec.items.row_file import fill_rows

ROWS = np.random.default_rng(0).normal(size=(25, 3)).astype(np.float32)
HEADER = 128  # bytes before the rows of an .npy file


class Source:
    """Hands out `ROWS`, remembers what was asked for, and can die on the way."""

    def __init__(self, calls_to_live=None):
        self.asked = []
        self.calls_to_live = calls_to_live

    def __call__(self, begin, end):
        if len(self.asked) == self.calls_to_live:
            raise KeyboardInterrupt
        self.asked.append((begin, end))
        return ROWS[begin:end]


def test_all_chunks(tmp_path):
    source = Source()
    found = fill_rows(tmp_path / "rows.npy", 25, source, chunk_size=10)
    assert source.asked == [(0, 10), (10, 20), (20, 25)]
    assert isinstance(found, np.memmap) and found.dtype == np.float32
    np.testing.assert_array_equal(found, ROWS)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), ROWS)


def test_goes_on_after_an_interruption(tmp_path):
    path = tmp_path / "rows.npy"
    with pytest.raises(KeyboardInterrupt):
        fill_rows(path, 25, Source(calls_to_live=2), chunk_size=10)
    source = Source()
    np.testing.assert_array_equal(fill_rows(path, 25, source, chunk_size=10), ROWS)
    assert source.asked == [(20, 25)]


@pytest.mark.parametrize(
    ("size", "kept"),
    [(0, 0), (5, 0), (40, 0), (HEADER, 0), (HEADER + 12, 1), (HEADER + 30, 2), (HEADER + 300, 25)],
)
def test_goes_on_after_half_a_write(tmp_path, size, kept):
    path = tmp_path / "rows.npy"
    fill_rows(path, 25, Source(), chunk_size=10)
    path.write_bytes(path.read_bytes()[:size])
    source = Source()
    np.testing.assert_array_equal(fill_rows(path, 25, source, chunk_size=100), ROWS)
    assert source.asked == ([(kept, 25)] if kept < 25 else [])


@pytest.mark.parametrize("other", [ROWS[:20], ROWS.astype(np.float64), ROWS[:, 0], b"no array"])
def test_other_content_is_replaced(tmp_path, other):
    path = tmp_path / "rows.npy"
    path.write_bytes(other) if isinstance(other, bytes) else np.save(path, other)
    np.testing.assert_array_equal(fill_rows(path, 25, Source(), chunk_size=10), ROWS)
