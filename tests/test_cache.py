"""The cache folder: built once, checked always, safe with several processes and interruptions."""

import errno
import json
import logging
import os
import subprocess
import sys

import pytest

from recbole_genrec.cache import MANIFEST, CacheFolder, hash_texts
from recbole_genrec.errors import InputError, RunError

FILES = {"first.bin": b"x" * 5000, "second.bin": b"y"}


class Builder:
    """Writes `FILES` and counts how often it had to."""

    def __init__(self):
        self.calls = 0

    def __call__(self, folder):
        self.calls += 1
        for name, content in FILES.items():
            (folder / name).write_bytes(content)


def cache_folder(root, **identity):
    return CacheFolder(root, "toy", {"seed": 1, **identity})


def test_built_once(tmp_path):
    build = Builder()
    assert cache_folder(tmp_path).ensure(build) is True
    assert cache_folder(tmp_path).ensure(build) is False
    assert build.calls == 1
    folder = cache_folder(tmp_path).path
    assert {path.name for path in folder.iterdir()} == {*FILES, MANIFEST}


def test_another_identity_is_another_folder(tmp_path):
    build = Builder()
    for identity in ({}, {"seed": 2}, {"sizes": [1, 2]}, {"sizes": [12]}):
        assert cache_folder(tmp_path, **identity).ensure(build)
    assert build.calls == 4


def truncate(folder):
    (folder / "first.bin").write_bytes(FILES["first.bin"][:-1])


def flip(folder):
    (folder / "second.bin").write_bytes(b"z")


def lose_file(folder):
    (folder / "second.bin").unlink()


def lose_manifest(folder):
    (folder / MANIFEST).unlink()


def foreign_manifest(folder):
    (folder / MANIFEST).write_text("[1, 2]")


def half_manifest(folder):
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text[: len(text) // 2])


def other_settings(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["identity"]["seed"] = 2
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "first.bin has changed"),
        (flip, "second.bin has changed"),
        (lose_file, "incomplete or foreign"),
        (lose_manifest, "incomplete or foreign"),
        (foreign_manifest, "incomplete or foreign"),
        (half_manifest, "incomplete or foreign"),
        (other_settings, "result of other settings"),
    ],
)
def test_broken_folder_is_rebuilt(tmp_path, caplog, damage, reason):
    build = Builder()
    folder = cache_folder(tmp_path)
    folder.ensure(build)
    damage(folder.path)
    with caplog.at_level(logging.WARNING):
        assert cache_folder(tmp_path).ensure(build) is True
    assert f"The cache {folder.path} is rebuilt: " in caplog.text and reason in caplog.text
    assert {name: (folder.path / name).read_bytes() for name in FILES} == FILES
    assert cache_folder(tmp_path).ensure(build) is False


@pytest.mark.parametrize("end", [KeyboardInterrupt, InputError])  # such as a hub out of reach
def test_interrupted_build_is_continued(tmp_path, end):
    folder = cache_folder(tmp_path)

    def interrupted(building):
        (building / "first.bin").write_bytes(b"half")
        raise end

    with pytest.raises(end):
        folder.ensure(interrupted)
    assert not folder.path.exists()

    def resumed(building):
        assert (building / "first.bin").read_bytes() == b"half"
        Builder()(building)

    assert folder.ensure(resumed) is True
    assert folder.ensure(resumed) is False


SLOW_BUILD = """
import sys, time
from pathlib import Path
from recbole_genrec.cache import CacheFolder

def build(folder):
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    for part in range(10):
        with open(folder / "rows.bin", "ab") as file:
            file.write(bytes([part]) * 100_000)
        time.sleep(0.05)

folder = CacheFolder(sys.argv[1], "toy", {})
folder.ensure(build)
assert (folder.path / "rows.bin").read_bytes() == b"".join(bytes([p]) * 100_000 for p in range(10))
"""


def test_processes_that_build_at_once(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", SLOW_BUILD, str(tmp_path / "cache"), str(log)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert log.read_text() == "built\n"


def test_hash_of_texts_sees_where_one_ends():
    assert hash_texts(["ab", "c"]) != hash_texts(["a", "bc"])
    assert hash_texts(["ab", "c"]) == hash_texts(iter(["ab", "c"]))


def test_a_full_disk_is_one_line(tmp_path):
    def build(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "vectors.npy")

    with pytest.raises(RunError, match=r"stage-.* could not be written: No space left on device"):
        CacheFolder(tmp_path, "stage", {}).ensure(build)
