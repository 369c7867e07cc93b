"""Property files: where they lie and how their YAML is read."""

import math
import os
import re
from pathlib import Path
from typing import Any

import yaml

from recbole_genrec.errors import InputError, shortened
from recbole_genrec.files import read_short

MOST_NODES = 100_000  # of a YAML file, with its aliases written out


def properties_dir() -> Path:
    """The folder of our YAML files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "properties", package.parent / "properties"):
        if (folder / "overall.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no properties folder in {package} or {package.parent}")


def config_file(name: str | Path) -> Path:
    """The file that a user names; `properties/...` is ours where no file has that name."""
    ours = properties_dir().parent / name
    named_ours = Path(name).parts[:1] == ("properties",) and not os.path.exists(name)
    return ours if named_ours and os.path.isfile(ours) else Path(name)


class YamlLoader(yaml.SafeLoader):
    """YAML as RecBole means it: 1e-3 is a number and None is null; dates and 1:30 stay text."""

    yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0].rsplit(":", 1)[1] in ("bool", "merge")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def get_single_node(self) -> yaml.Node | None:
        """The document, refused where its aliases stand for more than anybody would write."""
        node = super().get_single_node()
        if node is not None and _size(node, {}) > MOST_NODES:
            raise yaml.constructor.ConstructorError(
                problem=f"its aliases stand for more than {MOST_NODES:,} values",
                problem_mark=node.start_mark,
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A key that stands there twice is refused: one of its values would be lost."""
        keys = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else id(key_node)
            if key in keys and key != "<<":
                raise yaml.constructor.ConstructorError(
                    problem=f"the key [{key}] stands there twice", problem_mark=key_node.start_mark
                )
            keys.add(key)
        return super().construct_mapping(node, deep)


def _size(node: yaml.Node, sizes: dict[int, float]) -> float:
    """Number of values below a node, each alias counted as what it stands for."""
    if id(node) not in sizes:
        sizes[id(node)] = math.inf  # of a node that holds itself
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        pairs = isinstance(node, yaml.MappingNode)
        flat = [part for pair in children for part in pair] if pairs else children
        sizes[id(node)] = 1 + sum(_size(child, sizes) for child in flat)
    return sizes[id(node)]


for _tag, _pattern, _first in (
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?[0-9]+[eE][-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|None|", ["~", "n", "N", ""]),
):
    YamlLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first)
    )


def parse_value(text: str) -> Any:
    """The value that `text` has in YAML: `1e-3`, `[5, 10]`, `{LS: valid_and_test}`, `None`.

    What is no YAML, such as the interval `[5,inf)`, is text. Nothing is ever evaluated as code.
    """
    if text.strip()[:1] in ("[", "{", "'", '"'):
        try:
            return yaml.load(text, Loader=YamlLoader)
        except yaml.YAMLError:
            return text
        except RecursionError:
            raise InputError(f"nested too deeply: {shortened(text)}") from None
    loader = YamlLoader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))
    return loader.construct_object(yaml.ScalarNode(tag, text)) if text.strip() else text


def read_yaml(file: str | Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        InputError: naming the file, when it does not exist or is not a mapping of keys to values.
    """
    hint = "" if Path(file).suffix else "; a name with a space needs quotation marks of its own"
    text = read_short("config file", file, hint)
    try:
        settings = yaml.load(text, Loader=YamlLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # also of too many digits
        raise InputError(f"config file [{file}] is not valid YAML: {error}") from error
    if settings is not None and not isinstance(settings, dict):
        raise InputError(f"config file [{file}] should hold lines `key: value`, found [{settings}]")
    for key in settings or {}:
        if not isinstance(key, str):
            raise InputError(f"config file [{file}]: a key should be text, found [{key}]")
    return settings or {}


def read_properties(file: Path) -> dict[str, Any]:
    """The settings in one of our files; none when there is no such file."""
    return read_yaml(file) if file.is_file() else {}
