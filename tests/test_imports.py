"""Who may import whom, read from the sources."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ROOT = REPOSITORY / "recbole_genrec"
GROUND = {"errors", "files", "cache", "compat", "plain", "atomic_file", "stopping"}

# What a package may import beside the ground; packages that are not named sit on top.
ALLOWED = {
    **dict.fromkeys(GROUND, set()),
    "decoding": set(),
    "parallel": set(),
    "tokenizer": {"decoding"},
    "loss": {"tokenizer"},
    "items": {"tokenizer"},
    "model": {"items", "tokenizer", "decoding", "loss"},
    "registry": {"model"},
    "config": {"registry", "model", "items", "tokenizer", "loss", "parallel"},
    "data": {"config", "model"},
    "evaluator": {"model", "parallel"},
    "runs": {"config", "evaluator", "model", "parallel"},
    "trainer": {"config", "evaluator", "runs", "model", "parallel", "registry"},
    "stages": {
        *{"items", "tokenizer", "config", "data", "registry"},
        *{"model", "trainer", "runs", "parallel", "evaluator"},
    },
}
# The part of `model` that the rest of the house may know: what every model answers.
BASE = {"hooks", "phases", "semantic_id_recommender", "generative_recommender"}
MAY_KNOW_MODELS = {"model", "registry", "inference", "analysis"}


def imports(path: Path) -> set[tuple[str, ...]]:
    """The modules of ours that a file imports, as parts after `recbole_genrec`.

    Those inside functions count; those for annotations alone do not.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in only_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {tuple(name.split(".")[1:]) for name in found if name.startswith("recbole_genrec.")}


def package(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def graph() -> dict[str, set[str]]:
    """Package or module of the top level -> those that it imports."""
    found = defaultdict(set)
    for path in ROOT.rglob("*.py"):
        found[package(path)] |= {parts[0] for parts in imports(path)} - {package(path)}
    names = {path.stem for path in ROOT.iterdir()}
    return {name: others & names for name, others in found.items() if name != "__init__"}


def test_the_graph_is_that_of_the_sources():
    """Against a few arrows that everybody can see, so that the tests below do not hold of none."""
    found = graph()
    assert {"config", "trainer"} <= found["quick_start"]
    assert "loss" in found["model"] and "errors" in found["files"]
    assert set(ALLOWED) <= set(found)


def test_there_is_no_cycle_between_packages():
    TopologicalSorter(graph()).prepare()  # names the cycle, if there is one


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_packages_import_only_what_lies_below(name):
    found = graph()[name]
    assert found <= ALLOWED[name] | GROUND


def test_models_are_known_by_their_base_alone():
    for path in ROOT.rglob("*.py"):
        if package(path) not in MAY_KNOW_MODELS:
            known = {parts[1] for parts in imports(path) if parts[0] == "model" and parts[1:]}
            assert known <= BASE, path
