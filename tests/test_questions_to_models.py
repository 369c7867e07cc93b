"""Nobody feels a model for attributes with `getattr` or `hasattr`: read from the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ROOT = REPOSITORY / "recbole_genrec"
ASKERS = (
    *("trainer", "evaluator", "runs", "config", "data", "stages", "parallel"),
    *("compare", "report", "tune", "commands", "analysis"),
    *("quick_start", "inference", "cli"),
)


def sources(*places: str) -> Iterator[Path]:
    for place in places:
        path = ROOT / place
        yield from path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]


def mentions_model(expression: ast.AST, of_models: set[str]) -> bool:
    """Whether an expression has to do with a model, by its names or by where these come from."""
    return any(
        "model" in name.lower() or name in of_models
        for node in ast.walk(expression)
        for name in (
            [node.id]
            if isinstance(node, ast.Name)
            else [node.attr, ast.unparse(node)]
            if isinstance(node, ast.Attribute)
            else []
        )
    )


def is_annotated_as_model(argument: ast.arg) -> bool:
    annotation = "" if argument.annotation is None else ast.unparse(argument.annotation)
    return any(word in annotation for word in ("Module", "Model", "Recommender"))


def names_of_models(tree: ast.AST) -> set[str]:
    """Variables and attributes that are assigned from a model or annotated as one."""
    found: set[str] = set()
    while True:
        before = len(found)
        for node in ast.walk(tree):
            if isinstance(node, ast.arg) and is_annotated_as_model(node):
                found.add(node.arg)
            elif isinstance(node, ast.Assign) and mentions_model(node.value, found):
                found |= {ast.unparse(target) for target in node.targets}
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                found |= {ast.unparse(node.target)} if mentions_model(node.value, found) else set()
        if len(found) == before:
            return found


def questions(text: str) -> list[str]:
    """The calls of `getattr` and `hasattr` on a model or a model class."""
    tree = ast.parse(text)
    of_models = names_of_models(tree)
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("getattr", "hasattr")
        and mentions_model(node.args[0], of_models)
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("hasattr(model, 'recommend')", 1),
        ("def f(self): return getattr(self.model, 'beam_size', 1)", 1),
        ("getattr(config.model_class, 'one_pass', None)", 1),
        ("getattr(get_model(name), 'x')", 1),
        ("def f(trainer):\n    net = trainer.model\n    return hasattr(net, 'loss')", 1),
        ("def f(net: nn.Module):\n    inner = net\n    return hasattr(inner, 'loss')", 1),
        ("def f(self, model):\n    self.kept = model\n    hasattr(self.kept, 'x')", 1),
        ("if (found := self.model) and hasattr(found, 'x'): pass", 1),
        ("getattr(trainer, 'last_model_file', None)", 0),
        ("def f(item): return getattr(item, 'title')", 0),
    ],
)
def test_questions_to_models_are_found(text, number):
    assert len(questions(text)) == number


@pytest.mark.parametrize("path", [*sources(*ASKERS)], ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_feels_a_model_for_attributes(path):
    """`model.hooks` has the questions with their answers."""
    assert questions(path.read_text(encoding="utf-8")) == []
