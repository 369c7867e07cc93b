"""What may go wrong in a long run, in words that say what to do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from recbole_genrec.errors import InputError, RunError, refuse
from recbole_genrec.stopping import SENT

# How torch's CPU allocator words what other libraries raise MemoryError for.
CPU_MEMORY = ("can't allocate memory", "not enough memory")


@contextmanager
def explained_faults(config) -> Iterator[None]:
    """Say which settings to change where memory, or the negatives of a model, are missing.

    Raises:
        InputError, RunError: in the place of what torch or Python raise.
    """
    try:
        yield
    except KeyError as error:
        if error.args != (f"{config['NEG_PREFIX']}{config['ITEM_ID_FIELD']}",):
            raise
        expected = f"a distribution to sample from, as {config['model']} learns from negatives"
        refuse("train_neg_sample_args", expected, config["train_neg_sample_args"])
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
    """Let Ctrl-C wait until whoever works inside raises KeyboardInterrupt; a second one does not.

    SIGTERM and SIGHUP wait as well where something handles them, and then do what they would have.

    Yields:
        a function that says whether one of them came.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield lambda: False
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, *SENT)}
    waiting = [number for number, handler in handlers.items() if callable(handler)]
    received: list[int] = []

    def wait(number: int, _: object) -> None:
        received.append(number)
        restore()

    def restore() -> None:
        for number in waiting:
            signal.signal(number, handlers[number])

    for number in waiting:
        signal.signal(number, wait)
    try:
        yield lambda: bool(received)
    except KeyboardInterrupt:
        handler = handlers[received[0]] if received else None
        if callable(handler):
            handler(received[0], None)
        raise
    finally:
        restore()
