"""How fast training goes."""

from __future__ import annotations

from time import perf_counter

from recbole.data.interaction import Interaction
from torch import nn

from recbole_genrec.parallel.distributed import NO_SHARE, world_size


class Speed:
    """Counts what this process trains, and takes the others to be as fast."""

    def __init__(self, model: nn.Module):
        self._count_tokens = getattr(model, "num_tokens", None)
        self._start, self._samples, self._tokens = perf_counter(), 0, 0

    def add(self, batches: list[Interaction]) -> None:
        """Batches as the loader gives them, on the host, where counting waits for no device."""
        for batch in batches:
            if NO_SHARE not in batch:
                self._samples += len(batch)
                self._tokens += int(self._count_tokens(batch)) if self._count_tokens else 0

    def text(self) -> str:
        """Samples per second so far; tokens as well if the model has any."""
        scale = world_size() / (perf_counter() - self._start)
        text = f"{self._samples * scale:.0f} samples/s"
        return f"{text}, {self._tokens * scale:.0f} tokens/s" if self._count_tokens else text
