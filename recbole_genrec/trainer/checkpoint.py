"""Checkpoints: one file of tensors and plain values, which no loading can make run code."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch

from recbole_genrec.errors import InputError

_ARRAY, _SPARSE = "__numpy__", "__scipy__"


def save_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write `state` so that `path` always holds a whole checkpoint: the old one or this one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        torch.save(to_plain(state), temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read what `save_checkpoint` has written.

    Raises:
        InputError: naming the file, when it is missing, damaged or no checkpoint of this package.
    """
    try:
        state = torch.load(path, map_location=map_location, weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint [{path}]") from error
    except Exception as error:  # torch raises almost anything for a damaged file
        raise InputError(
            f"[{path}] is damaged or no checkpoint of recbole_genrec ({type(error).__name__})"
        ) from error
    if not isinstance(state, dict) or not {"config", "state_dict"} <= state.keys():
        raise InputError(f"[{path}] is no checkpoint of recbole_genrec")
    return from_plain(state)


def check_same_run(checkpoint: dict[str, Any], config: Any, path: str | Path) -> None:
    """Refuse the checkpoint of another model or data set.

    Raises:
        InputError: naming the file, the key and both values.
    """
    for key in ("model", "dataset"):
        found, expected = checkpoint["config"].get(key), config[key]
        if found != expected:
            raise InputError(f"[{path}] is a checkpoint of {key} [{found}], not of [{expected}]")


def load_weights(model: torch.nn.Module, checkpoint: dict[str, Any], path: str | Path) -> None:
    """Put the weights of a checkpoint into a model.

    Raises:
        InputError: naming the file, when the weights have other names or sizes.
    """
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise InputError(f"[{path}] does not fit the model or its data: {error}") from error
    if hasattr(model, "load_other_parameter"):
        model.load_other_parameter(checkpoint.get("other_parameter"))
    if "extra" in checkpoint and hasattr(model, "load_extra"):
        model.load_extra(checkpoint["extra"])


def to_plain(value: Any) -> Any:
    """The same value with numpy numbers, arrays and scipy matrices as tensors and plain values."""
    if scipy.sparse.issparse(value):  # first: some are dicts
        matrix = value.tocsr()
        parts = [torch.from_numpy(part) for part in (matrix.data, matrix.indices, matrix.indptr)]
        return {_SPARSE: parts, "shape": list(matrix.shape), "format": value.format}
    if isinstance(value, dict):
        return type(value)((key, to_plain(entry)) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(to_plain(entry) for entry in value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {_ARRAY: torch.from_numpy(np.ascontiguousarray(value))}
    if value is None or isinstance(value, (bool, int, float, str, torch.Tensor)):
        return value
    raise TypeError(f"a checkpoint holds tensors and plain values, found {type(value).__name__}")


def from_plain(value: Any) -> Any:
    """Undo `to_plain`, except that numpy numbers stay Python numbers."""
    if isinstance(value, dict):
        if _ARRAY in value:
            return value[_ARRAY].cpu().numpy()
        if _SPARSE in value:
            parts = tuple(part.cpu().numpy() for part in value[_SPARSE])
            matrix = scipy.sparse.csr_matrix(parts, shape=value["shape"])
            return matrix.asformat(value["format"])
        return type(value)((key, from_plain(entry)) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(from_plain(entry) for entry in value)
    return value
