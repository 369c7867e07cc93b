"""A run that dies without a word, as one does when the machine is out of memory."""

import os
import time


def crash(*arguments: object) -> None:
    os._exit(9)


def sleep(*_) -> None:
    time.sleep(60)
