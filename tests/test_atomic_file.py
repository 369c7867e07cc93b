"""What is said of atomic files that cannot be right, down to the line."""

import gzip

import numpy as np
import pytest

from recbole_genrec.atomic_file import read_atomic_file, read_header
from recbole_genrec.errors import InputError

HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"


def read(path, text=None, columns=("user_id", "item_id", "timestamp"), **settings):
    if text is not None:
        path.write_text(text, encoding="utf-8")
    return read_atomic_file(path, columns, "\t", **settings)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "toy.inter"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("u\ta\t1\nu\tb\t2\tsurplus\n", r"toy\.inter, line 3: the header has 3 cells, found 4"),
        ("u\ta\t1\nu\tb\n", r"toy\.inter, line 3: the header has 3 cells, found 2"),
        ("u\ta\rb\t1\n", r"toy\.inter, line 2: the header has 3 cells, found 2"),
        (
            "\nu\ta\t1\nu\tb\t2024-01-01\n",
            r"line 4: column \[timestamp\] of type float .* found \[2024-01-01\]",
        ),
        ("u\ta\t" + "x" * 5000 + "\n", r"line 2: column .* found \[x{80}\.\.\. \(5000 letters\)"),
        ("u\0\ta\t1\n", r"line 2: found a NUL character"),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_its_line(file, rows, message):
    with pytest.raises(InputError, match=message):
        read(file, HEADER + rows)


def test_rows_that_are_not_asked_for_are_checked_too(file):
    with pytest.raises(InputError, match="line 2: the header has 3 cells, found 4"):
        read(file, HEADER + "u\ta\t1\t2\n", columns=["user_id"])


def test_missing_numbers_and_blank_lines_are_none_of_these(file):
    table = read(file, HEADER + "u\ta\t\n\nv\tb\tNA\nw\tc\t1.5e3\n\n")
    assert table["user_id"].tolist() == ["u", "v", "w"]
    assert table.index.tolist() == [0, 2, 3]  # line numbers, counted from the first row
    assert np.isnan(table["timestamp"][:2]).all() and table["timestamp"].iloc[2] == 1500


def test_line_ends_of_windows_are_no_part_of_a_cell(file):
    file.write_bytes(HEADER.replace("\n", "\r\n").encode() + b"u\ta\t1\r\nu\tb\t2\r\n")
    assert read(file)["timestamp"].tolist() == [1, 2]


def test_a_column_stands_in_a_header_once(file):
    file.write_text("user_id:token\titem_id:token\titem_id:token\ttimestamp:float\n")
    with pytest.raises(InputError, match=r"header has the column \[item_id\] 2 times"):
        read_header(file, "\t")


def test_another_encoding_is_named(file):
    file.write_bytes((HEADER + "u\tgrün\t1\n").encode("latin-1"))
    with pytest.raises(InputError, match=r"not in the encoding utf-8: .* --encoding=latin-1"):
        read(file)
    assert read(file, encoding="latin-1")["item_id"].tolist() == ["grün"]
    with pytest.raises(InputError, match=r"encoding \[klingon\] is none that Python knows"):
        read(file, encoding="klingon")


def test_a_compressed_file_is_named(file):
    file.write_bytes(gzip.compress((HEADER + "u\ta\t1\n").encode()))
    with pytest.raises(InputError, match=r"toy\.inter is compressed: unpack it first"):
        read(file)
