"""A run that dies without a word, as one does when the machine is out of memory."""

import os
import time
from pathlib import Path

from recbole_genrec.trainer.faults import finishing_batches


def crash(*arguments: object) -> None:
    os._exit(9)


def finish(*_) -> None:
    """Have a batch under way when Ctrl-C comes, and leave a file when it is finished."""
    with finishing_batches() as stopping:
        Path("under way").touch()
        while not stopping():
            time.sleep(0.05)
        time.sleep(0.5)
        Path("finished").touch()
        raise KeyboardInterrupt


def sleep(*_) -> None:
    time.sleep(60)
