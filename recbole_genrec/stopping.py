"""What a queue or a closed terminal sends ends a process with the care of Ctrl-C."""

from __future__ import annotations

import signal
import threading

SENT = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP


class Stopped(KeyboardInterrupt):
    """A queue or a closed terminal asks the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def stop_as_by_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP raise `Stopped`.

    A signal that is ignored, as under `nohup`, stays ignored.
    """

    def stop(number: int, _: object) -> None:
        raise Stopped(number)

    if threading.current_thread() is threading.main_thread():
        for number in SENT:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, stop)


def leave_to_parent() -> None:
    """Have a worker stop when its parent passes it on as Ctrl-C, and then only.

    A queue sends its signals to the workers as well, and a shell lets what it starts in the
    background ignore Ctrl-C, which workers would inherit.
    """
    for number in SENT:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
