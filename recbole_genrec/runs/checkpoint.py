"""Checkpoints: one file of tensors and plain values, which no loading can make run code."""

from pathlib import Path
from typing import Any

import torch
from recbole.model.abstract_recommender import AbstractRecommender

from recbole_genrec import __version__
from recbole_genrec.errors import InputError, RunError
from recbole_genrec.files import replacing
from recbole_genrec.model.hooks import hooks_of
from recbole_genrec.plain import from_tensors, to_tensors
from recbole_genrec.runs.fingerprint import data_files

FORMAT = 2  # of checkpoints; those of version 0.1 had no number


def save_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write `state` so that `path` always holds a whole checkpoint: the old one or this one.

    Raises:
        RunError: when it cannot be written.
    """
    try:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            torch.save(to_tensors({"format": FORMAT, "version": __version__, **state}), file)
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):  # torch fails at a full disk in its own way
            raise
        raise RunError(
            f"[{path}] could not be written: {cause.strerror or cause}. What was saved before is "
            "still there; make room, or choose another folder as checkpoint_dir"
        ) from error


def load_checkpoint(
    path: str | Path, map_location: Any = "cpu", mmap: bool = False
) -> dict[str, Any]:
    """Read what `save_checkpoint` has written; with `mmap` tensors only when they are used.

    Raises:
        InputError: naming the file, when it is missing, damaged, no checkpoint of this package, or
            one of another version that wrote them differently.
    """
    try:
        state = torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint [{path}]") from error
    except Exception as error:  # torch raises almost anything for a damaged file
        raise InputError(
            f"[{path}] is damaged or no checkpoint of recbole_genrec ({type(error).__name__})"
        ) from error
    if not isinstance(state, dict) or not {"config", "state_dict"} <= state.keys():
        raise InputError(f"[{path}] is no checkpoint of recbole_genrec")
    if state.get("format") != FORMAT:
        version = state.get("version", "0.1.0")
        raise InputError(
            f"[{path}] was written by recbole_genrec {version}, whose checkpoints this version "
            f"({__version__}) does not read: train again, or install recbole_genrec=={version}"
        )
    return from_tensors(state)


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
        model.load_other_parameter(checkpoint.get("other_parameter"))
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
