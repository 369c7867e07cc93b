"""How fast training goes."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import TypeVar

import torch
from recbole.data.interaction import Interaction
from recbole.utils import get_gpu_usage, set_color
from tqdm import tqdm

from recbole_genrec.model.hooks import ModelHooks
from recbole_genrec.parallel.distributed import NO_SHARE, world_size

T = TypeVar("T")


def progress_bar(steps: Iterable[T], epoch: int, done: int, total: int, shown: bool) -> tqdm[T]:
    """A bar over the optimizer steps of an epoch, of which some are done already."""
    text = set_color(f"Train {epoch:>5}", "pink")
    return tqdm(steps, initial=done, total=total, ncols=100, desc=text, disable=not shown)


class Speed:
    """Counts what this process trains, and takes the others to be as fast."""

    def __init__(self, hooks: ModelHooks, device: torch.device) -> None:
        self._hooks, self._device = hooks, device
        self._start, self._samples = perf_counter(), 0
        self._tokens: int | None = None

    def add(self, batches: list[Interaction]) -> None:
        """Batches as the loader gives them, on the host, where counting waits for no device."""
        for batch in batches:
            if NO_SHARE in batch:
                continue
            self._samples += len(batch)
            tokens = self._hooks.num_tokens(batch)
            if tokens is not None:
                self._tokens = (self._tokens or 0) + int(tokens)

    def text(self) -> str:
        """Samples per second so far, tokens if the model has any, and the memory of a GPU."""
        scale = world_size() / (perf_counter() - self._start)
        text = f"{self._samples * scale:.0f} samples/s"
        if self._tokens is not None:
            text += f", {self._tokens * scale:.0f} tokens/s"
        if self._device.type == "cuda":
            text += f", GPU RAM: {get_gpu_usage(self._device)}"
        return text
