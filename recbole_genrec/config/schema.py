"""The types of all settings, as property files document them: `key: value  # (type) meaning`."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from recbole_genrec.compat import RECBOLE_PROPERTIES
from recbole_genrec.config.yaml_files import read_yaml
from recbole_genrec.errors import InputError, check_name
from recbole_genrec.tokenizer.registry import TOKENIZERS

COMMENT = re.compile(r"(?P<key>[A-Za-z_][\w-]*):.*?\s#\s*\((?P<kind>[^)]*)\)(?P<meaning>.*)")
ELEMENTS = re.compile(r" of \w+")
RANGE = re.compile(r"Range in \[(?P<choices>.*?)\]")

NAMES = {bool: "True or False", int: "an integer", float: "a number", str: "text"}
NAMES |= {list: "a list", dict: "a dict"}
KINDS = {kind.__name__: kind for kind in NAMES} | {"string": str}

# Keys that take more than is documented, or that have a check of their own.
OPEN_KEYS = {"model", "gpu_id", "metrics", "topk", "load_col"}
OPEN_KEYS |= {"user_inter_num_interval", "item_inter_num_interval"}
OPEN_KEYS |= {"eval_args", "train_neg_sample_args", "w_max", "context_norm", "post_remove_context"}

# Keys that may be None although no property file says so, as may the names of fields.
OPTIONAL_KEYS = {"state", "teacher_config"}


def check_types(given: Mapping[str, Any], properties: Path) -> None:
    """Refuse a value of another type than those that a key's comments and defaults have.

    An integer is a number too, 0 and 1 are truth values, and a tuple is a list. Where a comment of
    ours says `Range in [...]`, the value must be one of these, and a tokenizer must be registered.

    Raises:
        InputError: naming the key, what was found and what was expected.
    """
    types = setting_types(properties)
    choices = {**setting_choices(properties), "tokenizer": TOKENIZERS}
    for key, value in given.items():
        allowed = types.get(key, frozenset())
        if key in OPEN_KEYS or not allowed - {type(None)}:
            continue
        if key in OPTIONAL_KEYS or key.endswith("_FIELD"):
            allowed |= {type(None)}
        if not any(_is_a(value, kind) for kind in allowed):
            names = [name for kind, name in NAMES.items() if kind in allowed]
            names += ["None"] * (type(None) in allowed)
            raise InputError(f"{key} should be {' or '.join(names)}, found [{value}]")
        if key in choices:
            check_name(key, value, choices[key])


@cache
def setting_types(properties: Path) -> dict[str, frozenset[type]]:
    """The types of each key in all property files, RecBole's and ours: of comments and defaults."""
    types: dict[str, set[type]] = {}
    for file in [*RECBOLE_PROPERTIES.rglob("*.yaml"), *properties.rglob("*.yaml")]:
        if "url" in file.stem:
            continue
        comments = {line["key"]: ELEMENTS.sub("", line["kind"]) for line in _comments(file)}
        for key, default in read_yaml(file).items():
            words = re.findall(r"\w+", comments.get(key, ""))
            kinds = {KINDS[word] for word in words if word in KINDS}
            if key not in comments and type(default) is int:
                kinds.add(float)  # such as an exponent that happens to be 1
            types.setdefault(key, set()).update({type(default)}, kinds)
    return {key: frozenset(kinds) for key, kinds in types.items()}


@cache
def setting_choices(properties: Path) -> dict[str, tuple[str, ...]]:
    """The values of each key whose comment in one of our property files says `Range in [...]`."""
    lines = (line for file in properties.rglob("*.yaml") for line in _comments(file))
    ranges = ((line["key"], RANGE.search(line["meaning"])) for line in lines)
    return {key: tuple(re.findall(r"[\w-]+", match["choices"])) for key, match in ranges if match}


def _comments(file: Path) -> list[re.Match]:
    lines = map(COMMENT.match, file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _is_a(value: Any, kind: type) -> bool:
    if kind is bool:
        return isinstance(value, int) and value in (0, 1)
    if isinstance(value, bool):
        return False
    return isinstance(value, {float: (int, float), list: (list, tuple)}.get(kind, kind))
