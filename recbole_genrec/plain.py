"""Values of numpy, scipy and torch as plain ones: for JSON, and for files of tensors."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.sparse
import torch

_ARRAY, _SPARSE = "__numpy__", "__scipy__"


def convert_entries(value: Any, convert: Callable[[Any], Any]) -> Any:
    """A dict, list or tuple with `convert(entry)` for each entry; any other value as it is.

    >>> convert_entries({"a": 1, "b": 2}, str)
    {'a': '1', 'b': '2'}
    """
    if isinstance(value, dict):
        return {key: convert(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [convert(entry) for entry in value]
    if isinstance(value, tuple):
        return tuple(convert(entry) for entry in value)
    return value


def to_json(value: Any) -> Any:
    """What strict JSON can hold: Python's numbers, texts as keys, None for what is not finite.

    >>> to_json({1: np.float32([0.5, np.nan])})
    {'1': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        return to_json(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (list, tuple)):
        return [to_json(entry) for entry in value]
    return value


def to_tensors(value: Any) -> Any:
    """What `torch.load(weights_only=True)` reads: tensors and Python's own values.

    Arrays of numpy and matrices of scipy become marked tensors, which `from_tensors` turns back.

    Raises:
        TypeError: for a value of any other kind.
    """
    if scipy.sparse.issparse(value):  # first: some are dicts
        matrix = value.tocsr()
        parts = [torch.from_numpy(part) for part in (matrix.data, matrix.indices, matrix.indptr)]
        return {_SPARSE: parts, "shape": list(matrix.shape), "format": value.format}
    if isinstance(value, np.ndarray):
        return {_ARRAY: torch.from_numpy(np.ascontiguousarray(value))}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str, torch.Tensor, dict, list, tuple)):
        return convert_entries(value, to_tensors)
    raise TypeError(f"expected tensors and plain values, found {type(value).__name__}")


def from_tensors(value: Any) -> Any:
    """Undo `to_tensors`, except that numpy numbers stay Python numbers."""
    if isinstance(value, dict) and _ARRAY in value:
        return value[_ARRAY].cpu().numpy()
    if isinstance(value, dict) and _SPARSE in value:
        parts = tuple(part.cpu().numpy() for part in value[_SPARSE])
        matrix = scipy.sparse.csr_matrix(parts, shape=value["shape"])
        return matrix.asformat(value["format"])
    return convert_entries(value, from_tensors)


def save_tensors(value: Any, path: str | os.PathLike) -> None:
    """`torch.save` by a file of Python, which says why it cannot be written; torch's own does not.

    Raises:
        OSError: for want of room or permission.
    """
    with open(path, "wb") as file:
        torch.save(value, file)


def moved(value: Any, device: torch.device) -> Any:
    """The same value with all its tensors on `device`."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    return convert_entries(value, lambda entry: moved(entry, device))
