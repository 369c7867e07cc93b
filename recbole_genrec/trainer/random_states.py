"""The random states on which training depends, as tensors and plain values."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader


def random_states(device: torch.device) -> dict[str, Any]:
    """The states of all global generators, and of the device's own."""
    name, keys, *others = np.random.get_state()
    states = {
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *others),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: dict[str, Any], device: torch.device) -> None:
    """Put all generators back; that of a GPU where both `states` and `device` have one."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(tuple(states["numpy"]))
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def data_generators(train_data) -> list[torch.Generator]:
    """The generators that decide on the order of the training data.

    RecBole's loader of knowledge graphs holds two loaders.
    """
    parts = [train_data, *vars(train_data).values()]
    loaders = [part for part in parts if isinstance(part, DataLoader)]
    return [loader.generator for loader in loaders if loader.generator is not None]
