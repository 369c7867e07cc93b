"""Files are whole or not there."""

import pytest

from recbole_genrec import files
from recbole_genrec.files import replacing


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
