"""What may go wrong in a long run, in words that say what to do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from recbole_genrec.errors import InputError, RunError

# How torch's CPU allocator words what other libraries raise MemoryError for.
CPU_MEMORY = ("can't allocate memory", "not enough memory")


@contextmanager
def explained_memory(config) -> Iterator[None]:
    """Say which settings lower the need for memory when there is not enough.

    Raises:
        RunError: in the place of what torch or Python raise.
    """
    try:
        yield
    except RunError:  # explained within
        raise
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        lacking = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not lacking and not any(words in str(error) for words in CPU_MEMORY):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(
            f"out of memory on {config['device']}: lower train_batch_size "
            f"[{config['train_batch_size']}] if it happened in training, eval_batch_size "
            f"[{config['eval_batch_size']}] if in evaluation ({reason})"
        ) from error


def check_weights(model: nn.Module) -> None:
    """Refuse weights that a last step has spoilt, so that no checkpoint keeps them.

    Raises:
        InputError: naming the first weight that is NaN.
    """
    weights = dict(model.named_parameters())
    if not weights:
        return
    spoilt = torch.stack([weight.detach().isnan().any() for weight in weights.values()]).tolist()
    if any(spoilt):
        name = list(weights)[spoilt.index(True)]
        raise InputError(f"training has made the weight [{name}] NaN: lower learning_rate")


@contextmanager
def finishing_batches() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C wait until whoever works inside asks for it; a second one does not wait.

    Yields:
        a function that says whether Ctrl-C was pressed.
    """
    handler = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or not callable(handler):  # nobody may or wants to be interrupted
        yield lambda: False
        return
    pressed = threading.Event()

    def wait(*_) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, handler)

    signal.signal(signal.SIGINT, wait)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, handler)
