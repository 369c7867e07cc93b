"""Write configuration.md from the comments in properties/: python docs/generate_configuration.py"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from recbole_genrec.config.schema import COMMENT, Setting, read_settings
from recbole_genrec.config.yaml_files import properties_dir

OUTPUT = Path(__file__).parent / "configuration.md"
HEAD = """\
# Configuration

Every key of this package with its default. It is read from `properties/`, in this order, later
files winning: RecBole's own defaults, `overall.yaml`, `items.yaml`, `collaborative.yaml` (where the
model or the tokenizer reads such embeddings), `tokenizer/common.yaml` and the file of the
tokenizer, the file of the loss, those of the model and of the models it inherits from, the file of
the data set, `model/<model>-<dataset>.yaml`, your own `--config_files`, and `--key=value` on the
command line. In any folder `--config_files=properties/recipe/etegrec.yaml` and the like are ours.
[RecBole's keys](https://recbole.io/docs/user_guide/config_settings.html) work as ever.

The kind of a key is what it may be: a type, perhaps with a range such as `>= 1`, `in [0, 1)` or
`in {mean, sum}`; where the default is `~`, also `~`. Any other value is refused before work starts.

This page is generated from the comments in those files by `python docs/generate_configuration.py`.
"""


class Key(NamedTuple):
    """One configuration key as its file documents it."""

    name: str
    default: str
    kind: str
    meaning: str


def read_keys(path: Path) -> list[Key]:
    """The keys of a properties file.

    Raises:
        ValueError: for a key without a comment `# (kind) meaning`, or of another kind.
    """
    lines = map(COMMENT.match, path.read_text(encoding="utf-8").splitlines())
    documented = {line["key"]: line for line in lines if line and line["meaning"]}
    keys = []
    for name, setting in read_settings(path).items():
        if name not in documented:
            raise ValueError(f"{path}: expected `{name}: value  # (kind) meaning`")
        check_kind(f"{path}: {name}", setting)
        line = documented[name]
        default = line["value"].strip() or flow_style(setting.default)
        keys.append(Key(name, default, line["kind"], line["meaning"]))
    return keys


def check_kind(name: str, setting: Setting) -> None:
    """Refuse a default that is not of the kind in its comment; `~` is of every kind."""
    allowed = setting.default is None or any(kind.allows(setting.default) for kind in setting.kinds)
    if not allowed:
        expected = " or ".join(map(str, setting.kinds))
        raise ValueError(f"{name}: expected {expected}, found [{setting.default!r}]")


def flow_style(value: Any) -> str:
    """A nested value on one line, as in YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {flow_style(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow_style, value)) + "]"
    return f'"{value}"' if isinstance(value, str) and not value.isidentifier() else str(value)


def title(path: Path) -> str:
    """The comment in the first line of a properties file."""
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()


def table(keys: Iterable[Key]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield from ("", "| key | default | kind | meaning |", "|---|---|---|---|")
    for key in keys:
        cells = (f"`{key.name}`", f"`{key.default}`", key.kind, key.meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def file_sections(root: Path, files: Iterable[Path]) -> Iterator[str]:
    """A section with all keys for each file."""
    for path in files:
        yield from ("", f"### {path.relative_to(root).as_posix()}", "", f"{title(path)}")
        keys = read_keys(path)
        yield from table(keys) if keys else ("", "No keys of its own.")


def configuration(root: Path) -> str:
    """The text of configuration.md."""
    tokenizers = sorted(p for p in (root / "tokenizer").glob("*.yaml") if p.stem != "common")
    models = sorted((root / "model").glob("*.yaml"))
    sized = [path for path in models if "-" in path.stem]  # <model>-<dataset>.yaml
    sections = {
        "All models": [root / "overall.yaml"],
        "Items": [root / "items.yaml"],
        "Collaborative embeddings": [root / "collaborative.yaml"],
        "Tokenizers": [root / "tokenizer" / "common.yaml", *tokenizers],
        "Losses": sorted((root / "loss").glob("*.yaml")),
        "Models": [path for path in models if path not in sized],
        "Comparison": [root / "comparison.yaml"],
    }
    lines = [HEAD]
    for heading, files in sections.items():
        lines += [f"## {heading}", *file_sections(root, files), ""]
    lines.pop()
    for heading, files in (
        ("Models on one data set", sized),
        ("Data sets", sorted((root / "dataset").glob("*.yaml"))),
        ("Recipes, for `--config_files`", sorted((root / "recipe").glob("*.yaml"))),
    ):
        names = (f"- `{path.relative_to(root).as_posix()}`: {title(path)}" for path in files)
        lines += ["", f"## {heading}", "", *names]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(configuration(properties_dir()), encoding="utf-8")
