"""What stands around the code: workflows, forms, citation, and what SECURITY.md promises."""

import ast
import importlib.util
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from recbole_genrec.errors import InputError
from recbole_genrec.inference import Recommender
from tests.conftest import REPOSITORY

GITHUB = REPOSITORY / ".github"
FORMS = sorted(GITHUB.glob("ISSUE_TEMPLATE/*.yml"))
SCHEMAS = {
    GITHUB / "workflows" / "tests.yml": "github-workflows",
    **{path: "github-issue-forms" for path in FORMS if path.stem != "config"},
    GITHUB / "ISSUE_TEMPLATE" / "config.yml": "github-issue-config",
    REPOSITORY / "CITATION.cff": "citation-file-format",
}


def read_yaml(*parts: str) -> dict:
    return yaml.safe_load(REPOSITORY.joinpath(*parts).read_text(encoding="utf-8"))


@pytest.mark.skipif(not importlib.util.find_spec("check_jsonschema"), reason="needs its schemas")
@pytest.mark.parametrize(("path", "schema"), SCHEMAS.items(), ids=lambda value: Path(value).name)
def test_forms_follow_their_schemas(path, schema):
    command = [sys.executable, "-m", "check_jsonschema", f"--builtin-schema=vendor.{schema}", path]
    check = subprocess.run(command, capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr


def test_the_workflow_runs_on_the_pythons_and_the_oldest_torch_of_the_metadata():
    setup = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    (pythons,) = re.findall(r"^PYTHONS = (.*)$", setup, flags=re.MULTILINE)
    (torch_version,) = re.findall(r'"torch>=([\d.]+)"', setup)
    matrix = read_yaml(".github", "workflows", "tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == ast.literal_eval(pythons)
    assert matrix["include"][0] == {
        "torch": "oldest",
        "requirement": f"torch=={torch_version}.0",
    }


def test_the_workflow_runs_what_the_guide_names():
    jobs = read_yaml(".github", "workflows", "tests.yml")["jobs"]
    steps = {step["run"] for job in jobs.values() for step in job["steps"] if "run" in step}
    guide = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for command in ("ruff check .", "ruff format --check .", "mypy", "python -m pytest"):
        assert command in steps and command in guide


def test_the_badges_say_what_the_metadata_say():
    """They are images of fixed words: nothing keeps them true but this."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    setup = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    badge = dict(re.findall(r"img\.shields\.io/badge/(\w+)-([\w.]+)-", readme))
    pythons = re.findall(r'"(3\.\d+)"', re.findall(r"^PYTHONS = .*$", setup, re.MULTILINE)[0])
    assert badge["python"] == f"{pythons[0]}_to_{pythons[-1]}"
    assert badge["RecBole"] == re.findall(r"recbole==([\d.]+)", setup)[0]
    assert badge["torch"] == f"{re.findall(r'torch>=([0-9.]+)', setup)[0]}_and_later"
    assert badge["license"] == re.findall(r'license="(\w+)"', setup)[0]


def test_the_citation_is_of_the_latest_release():
    citation = read_yaml("CITATION.cff")
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.search(r"^## \[([\d.]+)\] - (\S+)$", changelog, flags=re.MULTILINE).groups()
    assert (citation["version"], str(citation["date-released"])) == released


def test_hooks_before_a_commit_name_programs_and_files_that_exist():
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        program, *arguments = hook["entry"].split()
        assert program in {"ruff", "mypy", "python"}
        if program == "python":
            assert (REPOSITORY / arguments[0]).is_file()


def test_no_file_is_read_as_code():
    """Pickles, expressions, and torch's files unless they may hold weights only."""
    never = {"eval", "exec", "pickle.load", "pickle.loads", "yaml.unsafe_load", "yaml.full_load"}
    found, safe = [], 0
    for file in (REPOSITORY / "recbole_genrec").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name, call = ast.unparse(node.func), ast.unparse(node)
            safe += name == "torch.load" and "weights_only=True" in call
            if name in never or (name == "torch.load" and "weights_only=True" not in call):
                found.append(f"{file.name}:{node.lineno}: {call}")
    assert safe and not found


class Attack:
    """What a pickle can do: write a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_that_holds_code_is_refused_and_the_code_does_not_run(tmp_path):
    sign, checkpoint = tmp_path / "sign", tmp_path / "TIGER.pth"
    state = {"config": {"model": "TIGER"}, "state_dict": {}, "extra": Attack(sign)}
    torch.save(state, checkpoint)
    with pytest.raises(InputError, match="TIGER.pth"):
        Recommender.from_checkpoint(checkpoint)
    assert not sign.exists()
    pickle.loads(pickle.dumps(state))  # the attack is a real one
    assert sign.exists()
