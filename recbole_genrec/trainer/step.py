"""One optimizer step, on one batch or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn.utils.clip_grad import clip_grad_norm_
from torch.optim import Optimizer

from recbole_genrec.model.hooks import hooks_of
from recbole_genrec.parallel.distributed import NO_SHARE, average_gradients

Losses = Tensor | tuple[Tensor, ...]  # the loss, or the parts whose sum it is


class OptimizerStep:
    """Brings a model one step further, by the gradients of all ranks.

    In bfloat16 with `enable_amp`; with `enable_scaler` gradients are clipped after unscaling.

    Attributes:
        scaler: of the gradients; its state belongs to that of training.
    """

    def __init__(self, config: Any, model: nn.Module) -> None:
        self._model, self._hooks = model, hooks_of(model)
        self._device = config["device"]
        self._in_bfloat16 = config["enable_amp"]
        self._clipping = config["clip_grad_norm"]
        scaled = bool(config["enable_scaler"])
        self.scaler = torch.amp.GradScaler(self._device.type, enabled=scaled)

    def __call__(
        self,
        optimizer: Optimizer,
        batches: Sequence[Interaction],
        loss_func: Callable[[Interaction], Losses],
    ) -> Losses:
        """Step on all targets of the batches, which are still on the host.

        Returns:
            the losses, detached: means over the targets as of one large batch.
        """
        optimizer.zero_grad()
        weights = [self._weight(batch) for batch in batches]
        total = sum(weights)
        if len(batches) == 1:
            losses = self._backward(batches[0], loss_func)
        else:  # only ranks without any share of the batches have a total of 0
            shares = [weight / max(total, 1) for weight in weights]
            each = [
                self._backward(batch, loss_func, share)
                for batch, share in zip(batches, shares, strict=True)
            ]
            losses = _weighted_sum(each, shares)
        losses = average_gradients(self._model, losses, total)
        if self._clipping:
            self.scaler.unscale_(optimizer)
            clip_grad_norm_(self._model.parameters(), **self._clipping)
        self.scaler.step(optimizer)
        self.scaler.update()
        return losses

    def _backward(
        self,
        batch: Interaction,
        loss_func: Callable[[Interaction], Losses],
        share: float | Tensor | None = None,
    ) -> Losses:
        """Add up the gradients of a batch, or of its share in a step; returns its losses."""
        if not self._hooks.takes_host_batches:
            batch = batch.to(self._device)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._in_bfloat16):
            losses = loss_func(batch)
        parts = losses if isinstance(losses, tuple) else (losses,)
        loss = reduce(add, parts)
        self.scaler.scale(loss if share is None else loss * share).backward()
        detached = tuple(part.detach() for part in parts)
        return detached if isinstance(losses, tuple) else detached[0]

    def _weight(self, interaction: Interaction) -> int | Tensor:
        """By how much the loss, a mean over targets, weighs among those of all ranks."""
        return 0 if NO_SHARE in interaction else self._hooks.num_targets(interaction)


def _weighted_sum(each: Sequence[Losses], weights: Sequence[float | Tensor]) -> Losses:
    rows = [losses if isinstance(losses, tuple) else (losses,) for losses in each]
    sums = tuple(
        reduce(add, (loss * weight for loss, weight in zip(parts, weights, strict=True)))
        for parts in zip(*rows, strict=True)
    )
    return sums if isinstance(each[0], tuple) else sums[0]
