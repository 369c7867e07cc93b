"""The wheel, installed into a folder of its own, trains where no file of the repository is near."""

import os
import shutil
import subprocess
import sys
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest

import recbole_genrec
from tests.conftest import REPOSITORY
from tests.small import NAME, SMALL_T5, write_toy

SOURCES = ["setup.py", "pyproject.toml", "README.md", "LICENSE", "recbole_genrec", "properties"]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
SMALL = {
    "load_col": "{inter: [user_id, item_id, timestamp], item: [item_id, title]}",
    "item_text_fields": "[title]",
    "tokenizer": "RQKMeans",
    "codebook_sizes": "[8, 8]",
    "text_embedding_dim": 8,
    **SMALL_T5,
    "epochs": 1,
    "show_progress": False,
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from copies of the files it needs, so that no earlier build is picked up."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in SOURCES:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, source / name)
    options = ["--no-deps", "--no-build-isolation", f"--wheel-dir={built}"]
    subprocess.run([*PIP, "wheel", *options, source], check=True)
    (path,) = built.glob("*.whl")
    return path


def test_it_holds_every_module_every_setting_and_what_the_report_is_made_of(wheel):
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [
        file.relative_to(REPOSITORY)
        for folder in ("recbole_genrec", "properties")
        for file in (REPOSITORY / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ]
    expected = {
        str(file if file.parts[0] == "recbole_genrec" else "recbole_genrec" / file)
        for file in files
    }
    assert packed == expected


def test_its_metadata_are_complete(wheel):
    with ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(name).decode("utf-8"))
    assert (metadata["Name"], metadata["Version"]) == ("recbole-genrec", recbole_genrec.__version__)
    assert metadata["Summary"] and metadata["Keywords"] and metadata["License"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().startswith("# recbole_genrec")
    assert "Programming Language :: Python :: 3.13" in metadata.get_all("Classifier")
    assert {"text", "plot", "parquet", "tune", "docs", "test"} <= set(
        metadata.get_all("Provides-Extra")
    )


def test_it_trains_tiger_in_an_empty_folder(wheel, tmp_path):
    site, folder = tmp_path / "site", tmp_path / "empty"
    subprocess.run([*PIP, "install", "--no-deps", f"--target={site}", wheel], check=True)
    write_toy(folder / "dataset", missing=False)
    settings = [f"--{key}={value}" for key, value in SMALL.items()]
    environment = {**os.environ, "PYTHONPATH": str(site)}  # before what is installed otherwise

    def run(*command: str | Path) -> str:
        return subprocess.run(
            command, cwd=folder, env=environment, check=True, text=True, capture_output=True
        ).stdout

    code = "import recbole_genrec.quick_start as module; print(module.__file__)"
    assert Path(run(sys.executable, "-c", code).strip()).is_relative_to(site)
    run(site / "bin" / "recbole-genrec", "run", "--model=TIGER", f"--dataset={NAME}", *settings)
    (checkpoint,) = (folder / "saved").glob("TIGER-toy-????????.pth")
    assert len(list(folder.glob("results/*/result.json"))) == 1

    (folder / "histories.jsonl").write_text('{"user": "u", "history": ["i1", "i2"]}\n')
    options = [f"--checkpoint={checkpoint}", "--input=histories.jsonl", "--top_k=3"]
    answer = run(site / "bin" / "recbole-genrec", "recommend", *options)
    assert answer.count('"item": "i') == 3
