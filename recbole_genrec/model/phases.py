"""How a model is trained, as data: which parts learn at what rate, in which epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class LearningRate(NamedTuple):
    """The learning rate of one part of a model through a phase.

    Attributes:
        peak: the highest it gets.
        schedule: name of a schedule in `transformers.get_scheduler`, counted in the optimizer steps
            in which the part is trained; None and `constant` keep the peak once it is reached.
        warmup_ratio: share of those steps in which the rate rises.
    """

    peak: float
    schedule: str | None = None
    warmup_ratio: float = 0.0

    @property
    def changes(self) -> bool:
        """Whether it is ever anything but its peak."""
        return self.schedule not in (None, "constant") or self.warmup_ratio > 0


class Phase(NamedTuple):
    """A stretch of training with one set of rules.

    Attributes:
        name: for the log.
        epochs: at most so many.
        stopping_step: validations without a better result before the phase ends.
        learning_rates: part -> learning rate, for the epochs of the phase in turn: the first
            mapping holds in its first epoch, and after the last the first comes again. A part that
            a mapping leaves out is frozen in its epochs. One mapping trains the same parts
            throughout; several alternate between parts.
        from_best: start from the weights of the best epoch so far, not from the last ones.
    """

    name: str
    epochs: int
    stopping_step: int
    learning_rates: Sequence[Mapping[str, LearningRate]]
    from_best: bool = False
