"""Callbacks for tests that stop training somewhere, or look on."""

from collections.abc import Callable
from typing import Any

from recbole_genrec.trainer import GenRecTrainer, TrainerCallback


class Killed(BaseException):
    """The end of a process, in so far as nobody expects it."""


class At(TrainerCallback):
    """Does something when an event happens for the `call`-th time: `At("on_step_start", 3, f)`."""

    def __init__(self, event: str, call: int, action: Callable[[], Any]) -> None:
        self.calls = 0

        def count(*_: Any) -> None:
            self.calls += 1
            if self.calls == call:
                action()

        setattr(self, event, count)


class Epochs(TrainerCallback):
    """The epochs that trainers begin, as they happen."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_epoch_start(self, trainer: GenRecTrainer) -> None:
        self.seen.append(trainer.state.epoch)


def fail(error: type[BaseException] | BaseException) -> Callable[[], None]:
    """An action that raises this error."""

    def action() -> None:
        raise error

    return action
