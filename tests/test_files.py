"""Files are whole or not there."""

import os
import socket
import subprocess
import sys

import pytest

from recbole_genrec import files
from recbole_genrec.files import remove_unfinished, replacing, replacing_all


def test_a_file_is_the_old_one_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("old", "new"):
        with replacing(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "old"
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half of it")
        raise ZeroDivisionError
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_machines_that_share_a_folder_write_to_different_names(tmp_path, monkeypatch):
    names = set()
    for machine in ("one", "two"):
        monkeypatch.setattr(files, "gethostname", lambda name=machine: name)
        with replacing(tmp_path / "a.npz") as temporary:
            temporary.touch()
            names.add(temporary.name)
            assert temporary.suffix == ".npz"  # to which numpy would add its own
    assert len(names) == 2


def test_files_that_belong_together_take_their_places_together(tmp_path):
    paths = [tmp_path / "a.inter", tmp_path / "b.item"]
    with pytest.raises(ZeroDivisionError), replacing_all(paths) as temporary:
        for file in temporary:
            file.write_text("whole")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with replacing_all(paths) as temporary:
        for file in temporary:
            file.write_text(file.suffix)
    assert [path.read_text() for path in paths] == [".inter", ".item"]
    assert sorted(tmp_path.iterdir()) == paths


def test_what_killed_processes_were_writing_is_removed(tmp_path):
    script = """if True:
        import os, sys
        from recbole_genrec.files import replacing
        with replacing(sys.argv[1]) as temporary:
            temporary.touch()
            os._exit(1)
    """
    for name in ("a.pth", "b"):
        subprocess.run([sys.executable, "-c", script, tmp_path / name], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    ours = tmp_path / f".a.pth.{socket.gethostname()}.{os.getpid()}.tmp.pth"
    others = tmp_path / ".a.pth.elsewhere.1234567.tmp.pth"
    kept = {ours, others, tmp_path / "a.pth"}
    for path in kept:
        path.touch()
    remove_unfinished(tmp_path)
    assert set(tmp_path.iterdir()) == kept
