"""What a checkpoint knows of the items: the best one of a run holds it, the last one refers to it.

Tokens, titles and text encoder stay as they are while the weights change, and may take far more
room. The best checkpoint holds them, so that it answers on its own wherever it is copied to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from recbole_genrec.errors import InputError
from recbole_genrec.plain import to_tensors
from recbole_genrec.runs.checkpoint import load_checkpoint

LAST = "-last"  # by which the name of the last checkpoint differs from that of the best one
FIXED = ("tokens", "titles", "encoders", "reports")  # parts of the items that no training changes


def best_model_file(file: str | Path) -> Path:
    """The best checkpoint that belongs to a last one, or to itself."""
    file = Path(file)
    return file.with_name(file.stem.removesuffix(LAST) + file.suffix)


def fixed_items(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What no training changes of the items in a checkpoint; empty where it has none."""
    items = (checkpoint.get("extra") or {}).get("items", {})
    return {name: items[name] for name in FIXED if name in items}


def held_items(checkpoint: dict[str, Any]) -> str | None:
    """The digest of the `fixed_items` that the best checkpoint of the run holds.

    Args:
        checkpoint: the best one, or a last one; None comes of one that leaves nothing to the best.
    """
    items = (checkpoint.get("extra") or {}).get("items", {})
    fixed = fixed_items(checkpoint)
    return items.get("held") or (digest(fixed) if fixed else None)


def without_items(checkpoint: dict[str, Any], held: str) -> dict[str, Any]:
    """The checkpoint with a digest in the place of its `fixed_items`.

    Args:
        checkpoint: with items.
        held: the `digest` of what the best checkpoint of the run holds.
    """
    extra = checkpoint["extra"]
    items = {name: part for name, part in extra["items"].items() if name not in FIXED}
    return {**checkpoint, "extra": {**extra, "items": {**items, "held": held}}}


def items_of(checkpoint: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """All that a checkpoint knows of the items, see `Items.from_state`.

    Args:
        checkpoint: what `load_checkpoint` has read.
        path: where it lies; the best one of its run is looked for beside it if needed.

    Raises:
        InputError: naming the file, when it lacks them, or the best one is needed and not there.
    """
    items = (checkpoint.get("extra") or {}).get("items")
    if items is None:
        raise InputError(f"{path}: the checkpoint lacks its items")
    if "held" not in items:
        return items
    best = best_model_file(path)
    reason = f"[{path}] is the last checkpoint of a run, and leaves the items to the best one"
    if best == Path(path) or not best.exists():
        raise InputError(
            f"{reason}: take that one, or have both in one folder, as <name>.pth and "
            f"<name>{LAST}.pth"
        )
    fixed = fixed_items(load_checkpoint(best))
    if digest(fixed) != items["held"]:
        raise InputError(f"{reason}; [{best}] has other items, and is of another run")
    return {**items, **fixed}


def digest(value: Any) -> str:
    """SHA-256 of what a checkpoint can hold, in hexadecimal; the same before and after."""
    found = hashlib.sha256()
    _add(to_tensors(value), found.update)
    return found.hexdigest()


def _add(value: Any, update: Callable[[bytes], None]) -> None:
    if isinstance(value, dict):
        _add([entry for pair in value.items() for entry in pair], update)
    elif isinstance(value, (list, tuple)):
        update(f"{len(value)} entries".encode())
        for entry in value:
            _add(entry, update)
    elif isinstance(value, torch.Tensor):
        update(f"{value.dtype} {list(value.shape)}".encode())
        update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    else:
        text = repr(value).encode()
        update(f"{len(text)} ".encode() + text)
