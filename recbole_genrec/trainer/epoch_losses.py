"""The losses of an epoch, fetched from the device now and then."""

import math
from typing import Any

import torch

from recbole_genrec.errors import InputError


class EpochLosses:
    """Sums the losses of an epoch in float64, without waiting for a GPU at every step."""

    def __init__(self, epoch_idx: int, device: torch.device):
        self.epoch_idx = epoch_idx
        self.interval = 1 if device.type == "cpu" else 50
        self.pending: list[torch.Tensor] = []
        self.sums: list[float] = []
        self.steps = 0
        self.is_tuple = False
        self.complete = False  # whether all batches of the epoch are in

    def add(self, losses: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
        """Note the loss of a batch, or its parts.

        Raises:
            InputError: when one is NaN; on a GPU up to 50 batches later. Epoch, batch and part are
                named.
        """
        self.is_tuple = isinstance(losses, tuple)
        parts = losses if isinstance(losses, tuple) else (losses,)
        self.pending.append(torch.stack([part.detach().double().reshape(()) for part in parts]))
        if len(self.pending) == self.interval:
            self._fetch()

    def total(self) -> float | tuple[float, ...]:
        """The sum of the losses, or the tuple of the sums of their parts."""
        self._fetch()
        return tuple(self.sums) if self.is_tuple else self.sums[0]

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which `load_state_dict` goes on; raises as `add` does."""
        self._fetch()
        names = ("steps", "sums", "is_tuple", "complete")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def _fetch(self) -> None:
        for parts in torch.stack(self.pending).tolist() if self.pending else []:
            if any(map(math.isnan, parts)):
                raise InputError(self._nan_message(parts))
            so_far = self.sums or [0.0] * len(parts)
            self.sums = [s + p for s, p in zip(so_far, parts, strict=True)]
            self.steps += 1
        self.pending.clear()

    def _nan_message(self, parts: list[float]) -> str:
        message = f"Training loss is nan in epoch {self.epoch_idx}, batch {self.steps}"
        if self.is_tuple:  # named as in the log
            names = [f"train_loss{n}" for n, part in enumerate(parts, 1) if math.isnan(part)]
            message += f" (parts of the loss: {parts}; {', '.join(names)})"
        return f"{message}: lower learning_rate or set clip_grad_norm"
