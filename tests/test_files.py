"""Files are whole or not there."""

import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from recbole_genrec import files
from recbole_genrec.errors import RunError
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


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real/a.txt")
    with replacing(tmp_path / "link.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["a.txt"]


def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    with replacing(pipe) as temporary:
        temporary.write_text("through")
    reader.join(10)
    assert found == ["through"] and pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_device_that_is_full_is_one_line_and_stays_a_device():
    full = pytest.raises(RunError, match=r"\[/dev/full\] could not be written: No space left")
    with full, replacing("/dev/full") as temporary:
        temporary.write_text("much")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_folder_is_no_file(tmp_path):
    refused = "could not be written: Is a directory"
    with pytest.raises(RunError, match=refused), replacing(tmp_path):
        pass
    (tmp_path / "file").touch()
    refused = r"file/a\] could not be written: (Not a dir|File exists)"
    with pytest.raises(RunError, match=refused), replacing(tmp_path / "file" / "a"):
        pass


def test_what_is_no_fault_of_the_disk_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        (tmp_path / "not there").read_text()


def test_the_disk_has_a_file_before_its_name_and_the_name_before_it_is_counted_on(
    tmp_path, monkeypatch
):
    events = []
    sync, rename = os.fsync, os.replace

    def fsync(handle):
        events.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
        sync(handle)

    def replace(source, target):
        events.append("rename")
        rename(source, target)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(files.os, "replace", replace)
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("whole")
    assert events == [temporary.name, "rename", tmp_path.name]
