"""What an installation brings along."""

import ast
import re
import sys
from collections import defaultdict
from importlib.metadata import distributions

from tests.conftest import REPOSITORY


def owners() -> dict[str, set[str]]:
    """The installed distributions by what they let one import, by their lists of files."""
    found = defaultdict(set)
    for distribution in distributions():
        name = distribution.metadata["Name"].lower()
        for file in distribution.files or ():
            found[file.parts[0].removesuffix(".py")].add(name)
    return found


def test_all_that_is_imported_is_listed():
    listed = set(re.findall(r"""["']([\w-]+)(?:>=|==)""", (REPOSITORY / "setup.py").read_text()))
    imported = set()
    for file in (REPOSITORY / "recbole_genrec").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    imported -= {*sys.stdlib_module_names, "recbole_genrec"}
    found = owners()
    assert not {name for name in imported if not found[name] & listed}
