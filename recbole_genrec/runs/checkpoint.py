"""Checkpoints: one file of tensors and plain values, which no loading can make run code."""

import hashlib
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

import torch
from recbole.model.abstract_recommender import AbstractRecommender

from recbole_genrec import __version__
from recbole_genrec.errors import InputError
from recbole_genrec.files import replacing
from recbole_genrec.model.hooks import hooks_of
from recbole_genrec.plain import from_tensors, moved, to_tensors
from recbole_genrec.runs.fingerprint import data_files

FORMAT = 2  # of checkpoints; those of version 0.1 had no number
CHECKSUM = b"sha256 "  # what the comment of a file starts with


def save_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write `state` so that `path` always holds a whole checkpoint: the old one or this one.

    The file is a zip archive, as those of `torch.save`, and its comment a checksum of the rest.

    Raises:
        RunError: when it cannot be written.
    """
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            torch.save(to_tensors({"format": FORMAT, "version": __version__, **state}), file)
        with open(temporary, "r+b") as file:
            file.seek(-2, SEEK_END)  # the length of the comment, which is the last of the archive
            file.write(len(CHECKSUM + bytes(64)).to_bytes(2, "little"))
            checksum = _checksum(file, file.tell())
            file.write(CHECKSUM + checksum)


def load_checkpoint(
    path: str | Path, map_location: Any = "cpu", mmap: bool = False
) -> dict[str, Any]:
    """Read what `save_checkpoint` has written; with `mmap` tensors only when they are used.

    Raises:
        InputError: naming the file, when it is missing, damaged, no checkpoint of this package, or
            one of another version that wrote them differently.
    """
    if Path(path).exists() and not Path(path).is_file():  # a pipe or device has no end
        raise InputError(f"a checkpoint should be a regular file, found [{path}]")
    try:
        sealed = _is_sealed(path)
        state = torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint [{path}]") from error
    except InputError:
        raise
    except Exception as error:  # torch raises almost anything for a damaged file
        raise InputError(
            f"[{path}] is damaged or no checkpoint of recbole_genrec ({type(error).__name__})"
        ) from error
    if not isinstance(state, dict) or not {"config", "state_dict"} <= state.keys():
        raise InputError(f"[{path}] is no checkpoint of recbole_genrec")
    version = state.get("version", "0.1.0")
    if version == __version__ and state.get("format") != FORMAT:
        raise InputError(f"[{path}] is damaged: its format is [{state.get('format')}]")
    if state.get("format") != FORMAT:
        raise InputError(
            f"[{path}] was written by recbole_genrec {version}, whose checkpoints this version "
            f"({__version__}) does not read: train again, or install recbole_genrec=={version}"
        )
    if not sealed:
        raise InputError(
            f"[{path}] is damaged or no checkpoint of recbole_genrec (it has no checksum)"
        )
    return from_tensors(state)


def _is_sealed(path: str | Path) -> bool:
    """Whether a file ends with a checksum; refused where its content has another one."""
    with open(path, "rb") as file:
        start = max(0, file.seek(0, SEEK_END) - len(CHECKSUM) - 64)
        file.seek(start)
        found = file.read()
        sealed = found.startswith(CHECKSUM)
        if sealed and found != CHECKSUM + _checksum(file, start):
            raise InputError(f"[{path}] is damaged: its content does not have its checksum")
    return sealed


def _checksum(file: BinaryIO, length: int) -> bytes:
    """SHA-256 of the first `length` bytes, in hexadecimal; the file stands behind them then."""
    digest = hashlib.sha256()
    file.seek(0)
    while length:
        block = file.read(min(length, 1 << 20))
        digest.update(block)
        length -= len(block)
    return digest.hexdigest().encode()


def check_finite(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Refuse weights that are no numbers: whatever is computed with them is none either.

    Raises:
        InputError: naming the file and the first such weight.
    """
    for name, weight in checkpoint["state_dict"].items():
        if isinstance(weight, torch.Tensor) and weight.is_floating_point():
            wrong = int((~weight.isfinite()).sum())
            if wrong:
                raise InputError(
                    f"[{path}]: weight [{name}] has {wrong} of {weight.numel()} entries that are "
                    "NaN or infinite; train again, or take an earlier checkpoint"
                )


def check_same_run(checkpoint: dict[str, Any], config: Any, path: str | Path) -> None:
    """Refuse the checkpoint of another model or other data, whose items have other numbers.

    Raises:
        InputError: naming the file, and the key and both values or the file that has changed.
    """
    for key in ("model", "dataset"):
        found, expected = checkpoint["config"].get(key), config[key]
        if found != expected:
            raise InputError(f"[{path}] is a checkpoint of {key} [{found}], not of [{expected}]")
    check_same_data(checkpoint, config, path)


def check_same_data(checkpoint: dict[str, Any], config: Any, path: str | Path) -> None:
    """Raise an InputError if a file that the checkpoint was trained on is another one now."""
    before, now = checkpoint.get("data_files", {}), data_files(config)
    changed = [name for name in sorted(before) if before[name] != now.get(name, before[name])]
    if changed:
        raise InputError(
            f"[{path}] was trained on other data: {', '.join(changed)} "
            f"(of {config['dataset']} in [{config['data_path']}]) should be as it was then"
        )


def model_state(model: torch.nn.Module) -> dict[str, Any]:
    """Weights of a model, and all that `load_weights` needs beside them."""
    others = model.other_parameter() if isinstance(model, AbstractRecommender) else None
    state = {
        "state_dict": model.state_dict(),
        # modules are in the state_dict already
        "other_parameter": {
            name: value
            for name, value in (others or {}).items()
            if not isinstance(value, torch.nn.Module)
        },
    }
    extra = hooks_of(model).extra_checkpoint()
    return state if extra is None else {**state, "extra": extra}


def load_weights(model: torch.nn.Module, checkpoint: dict[str, Any], path: str | Path) -> None:
    """Put the weights of a checkpoint into a model.

    Raises:
        InputError: naming the file, when the weights have other names or sizes.
    """
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        misfits = _misfits(model, checkpoint["state_dict"]) or [" ".join(str(error).split())]
        more = f" (and {len(misfits) - 1} more)" if misfits[1:] else ""
        raise InputError(
            f"[{path}] does not fit the model or its data: {misfits[0]}{more}"
        ) from error
    if isinstance(model, AbstractRecommender):
        model.load_other_parameter(moved(checkpoint.get("other_parameter"), model.device))
    if "extra" in checkpoint:
        hooks_of(model).load_extra(checkpoint["extra"])


def _misfits(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> list[str]:
    """What is wrong with each of the weights that do not fit."""
    shapes = {name: list(weight.shape) for name, weight in model.state_dict().items()}
    found = {name: list(weights[name].shape) for name in shapes if name in weights}
    resized = {name: shape for name, shape in found.items() if shape != shapes[name]}
    others = {name: weight for name, weight in weights.items() if name not in resized}
    names = model.load_state_dict(others, strict=False)  # asks the model, which may leave some out
    return [
        *(f"weight [{n}] should be {shapes[n]}, found {shape}" for n, shape in resized.items()),
        *(f"weight [{n}] is missing" for n in names.missing_keys if n not in resized),
        *(f"weight [{n}] has no place in the model" for n in names.unexpected_keys),
    ]
