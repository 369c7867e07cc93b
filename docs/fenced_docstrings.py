"""Show as they stand what Markdown would take apart in docstrings.

Examples, whose `>>>` it would take for a quotation, and lists in columns, whose lines it would
join.
"""

import re
from typing import Any

import griffe


class FencedDocstrings(griffe.Extension):
    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(docstring: str) -> str:
    return "\n\n".join(_fenced_paragraph(text) for text in docstring.split("\n\n"))


def _fenced_paragraph(text: str) -> str:
    if text.startswith(">>> "):
        return f"```pycon\n{text}\n```"
    if re.search(r"^[\w.]+ {2,}\S", text, flags=re.MULTILINE):
        return f"```text\n{text}\n```"
    return text
