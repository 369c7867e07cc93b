"""Where RecBole is missing, as pip leaves it on Python 3.12 and later, one line says what to do."""

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

COMMAND = "pip install --no-deps recbole==1.2.1"
HIDE = "import sys; sys.modules['recbole'] = None"  # from here on `import recbole` fails


def python(code: str) -> subprocess.CompletedProcess:
    """Run `code` where RecBole cannot be imported."""
    arguments = [sys.executable, "-c", f"{HIDE}\n{code}"]
    return subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--model=TIGER", "--dataset=ml-100k"],
        ["run", "--model_list=SASRec,TIGER", "--dataset=ml-100k"],
        ["tokenize", "--dataset=ml-100k"],
        ["recommend", "--checkpoint=saved/TIGER.pth"],
        ["compare", "results"],
        ["prepare", "--dataset=shop"],
    ],
    ids=" ".join,
)
def test_the_console_command_ends_in_one_line_without_a_traceback(arguments):
    run = python(f"from recbole_genrec.cli import main; main({arguments})")
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.startswith("error: RecBole is not installed")
    assert run.stderr.endswith(f"{COMMAND}\n") and run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "import recbole_genrec.quick_start",
        "import recbole_genrec.inference",
        "from recbole_genrec import run_recbole_genrec",
        "from recbole_genrec import Recommender",
    ],
)
def test_the_doors_say_it_as_an_import_error(statement):
    run = python(f"try:\n    {statement}\nexcept ImportError as error:\n    print(error)")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.endswith(f"{COMMAND}\n")


def test_decoding_needs_no_recbole():
    assert python("import recbole_genrec.decoding.trie").returncode == 0


def test_the_readme_holds_the_same_command():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = readme.split("## Quick start")[1].split("```bash\n")[1].split("```")[0]
    assert COMMAND in block
