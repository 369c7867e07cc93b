"""Phases as they are executed: which part is trained in which epoch, and how fast."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from recbole_genrec.errors import check_name, refuse
from recbole_genrec.model.hooks import ModelHooks
from recbole_genrec.model.phases import LearningRate, Phase

PART = "part"  # key of the parameter groups of the optimizer


class PhaseRun:
    """A phase while it is trained.

    Args:
        phase: what is to be done.
        first_epoch: number of its first epoch in the whole training.
        parts: the parameters of each part of the model; a part may have none.

    Raises:
        InputError: when the phase names no part, or one that the model does not have.
    """

    def __init__(
        self, phase: Phase, first_epoch: int, parts: Mapping[str, Sequence[nn.Parameter]]
    ) -> None:
        if not phase.learning_rates:
            refuse(f"learning_rates of phase {phase.name}", "mappings for its epochs", "none")
        self.phase = phase
        self.first_epoch = first_epoch
        self._parts = parts
        for part in (part for rates in phase.learning_rates for part in rates):
            check_name(f"learning_rates of phase {phase.name}", part, parts)
        self._rates = self.rates_of(first_epoch)
        self._totals: dict[str, int] = {}  # optimizer steps of each part in the whole phase
        self._frozen: dict[str, list[nn.Parameter]] = {}

    def rates_of(self, epoch: int) -> Mapping[str, LearningRate]:
        """Learning rate of each part that is trained in an epoch."""
        turns = self.phase.learning_rates
        return turns[(epoch - self.first_epoch) % len(turns)]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What the phase trains, a group of the optimizer for each part."""
        peaks: dict[str, float] = {}
        for rates in self.phase.learning_rates:
            for part, rate in rates.items():
                peaks.setdefault(part, rate.peak)
        return [
            {"params": list(parameters), "lr": peaks[part], PART: part}
            for part, parameters in self._parts.items()
            if part in peaks and parameters
        ]

    def begin_epoch(self, epoch: int, end: int, steps_per_epoch: int, optimizer: Optimizer) -> None:
        """Freeze what this epoch does not train, and nothing else.

        Args:
            epoch: number of the epoch in the whole training.
            end: number of the first epoch after the phase.
            steps_per_epoch: optimizer steps of each of its epochs.
            optimizer: what will be trained with; one of its own where a trainer has several.

        Raises:
            InputError: when a rate changes, and the optimizer is not that of the phase.
        """
        rates = (rate for each in self.phase.learning_rates for rate in each.values())
        changing = ", ".join(_words(rate) for rate in rates if rate.changes)
        if PART not in optimizer.param_groups[0] and changing:
            expected = "~, and warmup_ratio 0, where a trainer has optimizers of its own"
            refuse("lr_scheduler", expected, changing)
        self._rates = self.rates_of(epoch)
        trained = [part for each in range(self.first_epoch, end) for part in self.rates_of(each)]
        self._totals = {part: trained.count(part) * steps_per_epoch for part in self._rates}
        for part, parameters in self._parts.items():
            if part in self._rates:
                self._thaw(part)
            elif part not in self._frozen:
                self._freeze(part, parameters)

    def _freeze(self, part: str, parameters: Sequence[nn.Parameter]) -> None:
        self._frozen[part] = [each for each in parameters if each.requires_grad]
        for parameter in self._frozen[part]:
            parameter.requires_grad_(False)
            parameter.grad = None  # which optimizer and clipping would still see

    def _thaw(self, part: str) -> None:
        for parameter in self._frozen.pop(part, []):
            parameter.requires_grad_(True)

    def end(self) -> None:
        """Let all parts be trained again."""
        for part in list(self._frozen):
            self._thaw(part)

    def count_step(self, optimizer: Optimizer, part_steps: dict[str, int]) -> None:
        """Count an optimizer step for the parts that are trained, and go on with their rates."""
        for part in self._rates:
            part_steps[part] = part_steps.get(part, 0) + 1
        self.set_learning_rates(optimizer, part_steps)

    def set_learning_rates(self, optimizer: Optimizer, part_steps: Mapping[str, int]) -> None:
        """Give each part the learning rate of its next step.

        Args:
            optimizer: groups of other optimizers than that of the phase keep their rates.
            part_steps: steps that each part has been trained in this phase.
        """
        for group in optimizer.param_groups:
            part = group.get(PART)
            if part is not None and part in self._rates:
                steps, total = part_steps.get(part, 0), self._totals[part]
                group["lr"] = learning_rate(self._rates[part], steps, total)

    def __str__(self) -> str:
        """Its learning rates, in words."""
        turns = [
            ", ".join(f"{part} {_words(rate)}" for part, rate in rates.items() if self._parts[part])
            for rates in self.phase.learning_rates
        ]
        return f"learning rates {'; then '.join(turns)}{' in turn' if turns[1:] else ''}"


def first_epoch(phases: Sequence[Phase], number: int) -> int:
    """Where a phase begins, however early the ones before may end."""
    return sum(phase.epochs for phase in phases[:number])


def phase_names(phases: Sequence[Phase], epochs: Iterable[int]) -> dict[int, str]:
    """Epoch -> name of its phase."""
    starts = [first_epoch(phases, number) for number in range(1, len(phases))]
    return {epoch: phases[bisect_right(starts, epoch)].name for epoch in epochs}


def parts_of(hooks: ModelHooks) -> dict[str, list[nn.Parameter]]:
    """The parameters of a model by the name of their part.

    Raises:
        InputError: when a parameter is in no part, or in two.
    """
    parts = hooks.parts()
    times = Counter(id(parameter) for parameters in parts.values() for parameter in parameters)
    for name, parameter in hooks.network.named_parameters():
        if times[id(parameter)] != 1:
            refuse(
                f"parts of {type(hooks.network).__name__}",
                "parameters that are each in one part",
                f"{name}, in {times[id(parameter)]}",
            )
    return parts


def learning_rate(rate: LearningRate, steps: int, total: int) -> float:
    """The learning rate after so many steps of a total."""
    return rate.peak * _factor(rate, total)(steps) if rate.changes else rate.peak


@lru_cache
def _factor(rate: LearningRate, total: int) -> Callable[[int], float]:
    """Steps done -> share of the peak, by the schedule of the rate."""
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=rate.peak)
    keeps_peak = rate.schedule in (None, "constant")
    name = "constant_with_warmup" if keeps_peak else rate.schedule
    warmup = round(rate.warmup_ratio * total)
    return get_scheduler(name, optimizer, warmup, total).lr_lambdas[0]


def _words(rate: LearningRate) -> str:
    if not rate.changes:
        return f"{rate.peak:g}"
    return f"{rate.peak:g} ({rate.schedule or 'constant'}, warm-up {rate.warmup_ratio:.0%})"
