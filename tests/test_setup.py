"""What an installation brings along."""

import ast
import re
import sys
from importlib.metadata import packages_distributions

from tests.conftest import REPOSITORY


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
    owners = packages_distributions()
    unlisted = {name for name in imported if not {o.lower() for o in owners.get(name, [])} & listed}
    assert not unlisted
