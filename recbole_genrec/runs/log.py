"""The log of a run: RecBole's, one file per run, of several processes that of rank 0."""

from __future__ import annotations

from logging import ERROR, Handler, getLogger

from recbole.utils import init_logger

from recbole_genrec.compat import silence_tensorboard
from recbole_genrec.parallel.distributed import rank

_handlers: list[Handler] = []  # of the run before in this process


def start_log(config) -> None:
    """Write the log of this run, and no longer that of the run before.

    RecBole alone leaves the handlers of the first run in place, so that its file, and its folder of
    TensorBoard, also get what the later ones have to say.
    """
    root = getLogger()
    for handler in _handlers:
        root.removeHandler(handler)
        handler.close()
    others = list(root.handlers)
    if rank() == 0:
        init_logger(config)
    else:
        root.setLevel(ERROR)
        silence_tensorboard()
    _handlers[:] = [handler for handler in root.handlers if handler not in others]
