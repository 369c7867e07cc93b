"""The notebooks run from the first cell to the last, at toy length, and show what a run prints."""

import importlib.util
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytestmark = pytest.mark.skipif(not importlib.util.find_spec("ipykernel"), reason="needs a kernel")
NOTEBOOKS = sorted((REPOSITORY / "examples").glob("*.ipynb"))
# What follows the cell of settings: the same steps with less of everything.
TOY = {
    "tiger-and-sasrec-on-ml-100k": """
settings |= {"epochs": 1, "user_inter_num_interval": "[5,30]"}
tokenizer |= {"tokenizer_epochs": 5}
""",
    "your-own-catalogue": """
training |= {"epochs": 1}
""",
}


def outputs(cell: dict) -> str:
    return "".join(str(output) for output in cell.get("outputs", []))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    (number,) = (
        n for n, cell in enumerate(notebook.cells) if "settings" in cell.metadata.get("tags", [])
    )
    notebook.cells.insert(number + 1, nbformat.v4.new_code_cell(TOY[path.stem]))
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    *_, last = (cell for cell in notebook.cells if cell.cell_type == "code")
    assert "log_probability" in outputs(last)
    models = {folder.name.split("-")[0] for folder in (tmp_path / "results").iterdir()}
    assert "TIGER" in models and models & {"SASRec", "SASRecOnePass"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_with_the_output_of_one_run(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)


def test_ten_cells():
    (path,) = (path for path in NOTEBOOKS if path.stem.startswith("tiger-and-sasrec"))
    cells = nbformat.read(path, as_version=4).cells
    assert sum(cell.cell_type == "code" for cell in cells) == 10


def test_no_output_names_a_folder_of_somebody():
    for path in NOTEBOOKS:
        text = Path(path).read_text(encoding="utf-8")
        assert not [root for root in ("/home/", "/root/", "/tmp/", "/Users/") if root in text]
