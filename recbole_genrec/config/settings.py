"""Settings as plain mappings: how they are given, merged and kept."""

import copy
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_genrec.config.yaml_files import config_file, parse_value, read_yaml
from recbole_genrec.errors import InputError, nearest, refuse
from recbole_genrec.plain import convert_entries


def with_files(settings: Mapping[str, Any], files: Iterable[str | Path]) -> dict[str, Any]:
    """A copy of the settings, overridden by those of YAML files, by each file after the other."""
    result = dict(settings)
    for file in files:
        merge(result, read_yaml(config_file(file)))
    return result


def merge(settings: dict[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """`settings.update(update)`, but a partial `eval_args` completes the one that is there."""
    for key, value in update.items():
        if key == "eval_args":
            value = {**settings.get(key, {}), **_checked_eval_args(value)}
        settings[key] = value
    return settings


def given_value(key: str, value: Any) -> Any:
    """A setting as it was given from Python or the command line: texts are read by `parse_value`.

    Raises:
        InputError: naming the key of a text that cannot be read.
    """
    if not isinstance(value, str):
        return _python_value(value)
    try:
        return parse_value(value)
    except ValueError as error:  # nested too deeply, or with too many digits
        raise InputError(f"{key} cannot be read: {error}") from None


def _python_value(value: Any) -> Any:
    """A copy with Python's numbers in place of numpy's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (dict, list, tuple)):
        return convert_entries(value, _python_value)
    return copy.deepcopy(value)


def _checked_eval_args(value: Any) -> dict[str, Any]:
    known = ("split", "group_by", "order", "mode")
    if not isinstance(value, dict):
        refuse("eval_args", f"a dict of {', '.join(known)}", value)
    for name in value:
        if name not in known:
            raise InputError(f"eval_args has no key [{name}]{nearest(str(name), known)}")
    return value


def plain_value(key: str, value: Any) -> Any:
    """A setting as JSON and checkpoints can hold it.

    Raises:
        InputError: naming the key whose value has no plain form.
    """
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, (tuple, set)):
        value = list(value)
    if isinstance(value, (dict, list)):
        return convert_entries(value, partial(plain_value, key))
    if isinstance(value, (torch.device, Path)):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    refuse(key, "a plain value", f"{type(value).__name__} {value}")
