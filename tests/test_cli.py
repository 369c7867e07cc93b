"""The arguments of the command line."""

import runpy
import sys

import pytest

from recbole_genrec import __version__, cli


@pytest.mark.parametrize(
    ("given", "files"),
    [
        ("my conf.yaml", ["my conf.yaml"]),  # it is there
        ("a.yaml b.yaml", ["a.yaml", "b.yaml"]),
        ("a.yaml 'my conf.yaml'", ["a.yaml", "my conf.yaml"]),
        ('"other conf.yaml" a.yaml', ["other conf.yaml", "a.yaml"]),
    ],
)
def test_names_of_config_files_may_hold_spaces(tmp_path, monkeypatch, given, files):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my conf.yaml").write_text("epochs: 3\n")
    found = []
    monkeypatch.setattr(
        "recbole_genrec.quick_start.run_recbole_genrec", lambda *arguments: found.append(arguments)
    )
    cli.main(["run", "--model=Pop", "--dataset=toy", f"--config_files={given}"])
    assert found == [("Pop", "toy", files, {})]


def test_a_name_cut_at_its_space_gets_a_hint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my conf.yaml").write_text("epochs: 3\n")
    with pytest.raises(SystemExit, match=r"\[my\] cannot be read: .* quotation marks of its own"):
        cli.main(["run", "--model=Pop", "--dataset=toy", "--config_files=my conf.yaml a.yaml"])


def test_quotation_marks_come_in_pairs(capsys):
    with pytest.raises(SystemExit):
        cli.main(["run", "--model=Pop", "--dataset=toy", "--config_files='my conf.yaml"])
    assert 'No closing quotation in "\'my conf.yaml"' in capsys.readouterr().err


def test_the_package_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["recbole_genrec", "--version"])
    with pytest.raises(SystemExit, match="^0$"):
        runpy.run_module("recbole_genrec", run_name="__main__")
    assert capsys.readouterr().out == f"recbole_genrec {__version__}\n"
