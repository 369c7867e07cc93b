"""What stands in the documentation: its code blocks and links."""

import re
from pathlib import Path
from typing import NamedTuple

from tests.conftest import REPOSITORY


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    text: str


def page(name: str) -> str:
    """The text of a page of docs/."""
    return (REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, language: str = r"\w+") -> list[Block]:
    """The code blocks of a page in their order, of one language or all."""
    found = re.findall(rf"^```({language})\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [Block(*block) for block in found]


def commands(text: str) -> list[str]:
    """The command lines in the bash blocks of a page."""
    return [line for block in blocks(text, "bash") for line in block.text.splitlines() if line]


def anchors(path: Path) -> set[str]:
    """The anchors that a Markdown page has for its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
