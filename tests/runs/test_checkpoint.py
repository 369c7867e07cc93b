"""Checkpoints are whole, plain and checked."""

import errno
import os
import zipfile

import numpy as np
import pytest
import scipy.sparse
import torch

from recbole_genrec.errors import InputError, RunError
from recbole_genrec.runs import checkpoint
from recbole_genrec.runs.checkpoint import (
    check_finite,
    load_checkpoint,
    save_checkpoint,
)


def test_values_come_back_and_no_code_is_needed_to_load(tmp_path):
    state = {
        "config": {"model": "M"},
        "state_dict": {"w": torch.arange(3)},
        "score": np.float64(0.5),
        "array": np.eye(2),
        "sparse": scipy.sparse.dok_matrix(np.diag([1.0, 2.0])),
        "nested": [(1, None, "x"), {"y": np.int64(3)}],
    }
    save_checkpoint(state, tmp_path / "new" / "a.pth")
    torch.load(tmp_path / "new" / "a.pth", weights_only=True)
    loaded = load_checkpoint(tmp_path / "new" / "a.pth")
    assert type(loaded["score"]) is float and loaded["score"] == 0.5
    assert np.array_equal(loaded["array"], np.eye(2))
    assert loaded["sparse"].format == "dok" and loaded["sparse"].toarray()[1, 1] == 2.0
    assert loaded["nested"] == [(1, None, "x"), {"y": 3}]
    with pytest.raises(TypeError, match="plain values, found Linear"):
        save_checkpoint({"module": torch.nn.Linear(1, 1)}, tmp_path / "b.pth")


def test_a_failing_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    save_checkpoint({"config": {}, "state_dict": {}, "n": 1}, path)

    def half_written(state, file):
        file.write(b"PK half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint.torch, "save", half_written)
    with pytest.raises(RunError, match=r"a\.pth\] could not be written: No space left"):
        save_checkpoint({"config": {}, "state_dict": {}, "n": 2}, path)
    assert load_checkpoint(path)["n"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path):
    path, damaged = tmp_path / "a.pth", tmp_path / "b.pth"
    save_checkpoint({"config": {}, "state_dict": {"w": torch.randn(200)}}, path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        damaged.write_bytes(content)
        with pytest.raises(InputError, match=r"b\.pth\] is (damaged|no checkpoint)"):
            load_checkpoint(damaged)
    for content in (whole[:-1], whole[:-100], whole + b"x", whole[1:], whole[:500]):
        damaged.write_bytes(content)
        with pytest.raises(InputError, match=r"b\.pth\] is damaged"):
            load_checkpoint(damaged, mmap=True)
    with zipfile.ZipFile(path) as archive:  # a checkpoint is still what torch and unzip read
        assert archive.testzip() is None and archive.comment.startswith(b"sha256 ")


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    weights = {"a": torch.arange(3), "b": torch.tensor([1.0, torch.nan, torch.inf])}
    with pytest.raises(InputError, match=r"x\.pth\]: weight \[b\] has 2 of 3 entries that are NaN"):
        check_finite({"state_dict": weights}, "x.pth")
    check_finite({"state_dict": {**weights, "b": torch.ones(3)}}, "x.pth")


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut", b"text", "half", "foreign"])
def test_what_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "a.pth"
    if content == "half":
        save_checkpoint({"config": {}, "state_dict": {"w": torch.zeros(1000)}}, path)
        path.write_bytes(path.read_bytes()[:2000])
    elif content == "foreign":
        torch.save({"weights": torch.zeros(1)}, path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pth"):
        load_checkpoint(path)


def test_what_has_no_end_is_no_checkpoint(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(InputError, match="a checkpoint should be a regular file, found"):
            load_checkpoint(path)


def test_a_checkpoint_of_this_version_with_another_format_is_damaged(tmp_path):
    save_checkpoint({"config": {}, "state_dict": {}, "format": "x"}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a\.pth\] is damaged: its format is \[x\]"):
        load_checkpoint(tmp_path / "a.pth")
