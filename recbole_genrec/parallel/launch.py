"""Starts the processes of a run on this machine, as torchrun does, and ends them together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait
from time import monotonic
from typing import Any

import torch

from recbole_genrec.errors import InputError, RunError
from recbole_genrec.parallel.distributed import LostProcess
from recbole_genrec.stopping import leave_to_parent

PROCESSES = multiprocessing.get_context("spawn")
PATIENCE = 30  # seconds in which the others may end by themselves after one has failed
DEFAULT_PORT = 5678  # RecBole's


def total_processes(config) -> int:
    """Processes on all machines; as in RecBole, a `world_size` below 1 means this one only."""
    return max(config["world_size"] or 0, config["nproc"])


def run_on_processes(config, function: Callable, *arguments: Any) -> Any:
    """Call `function(*arguments)` in `nproc` processes.

    Ctrl-C, and what ends this process with the same care, is passed on to them, and waited for.

    Returns:
        what the first of them returns.

    Raises:
        InputError, RunError, KeyboardInterrupt: as one of them raises it.
        RuntimeError: with the traceback of what else one of them raises.
    """
    processes, receivers = [], []
    environments = _environments(config)
    with ThreadPoolExecutor(len(environments)) as readers:  # at once, as pipes hold little
        try:
            for environment in environments:
                receiver, sender = PROCESSES.Pipe(duplex=False)
                given = environment, sender, function, arguments
                processes.append(PROCESSES.Process(target=_work, args=given))
                processes[-1].start()
                sender.close()
                receivers.append(readers.submit(_received, receiver))
            interrupt = _wait_for(processes)
        finally:
            for process in processes:
                if process.pid is not None:  # it was started
                    process.kill()
                    process.join()
    outcomes = [receiver.result() for receiver in receivers]
    values = [outcome[1] for outcome in outcomes if outcome and outcome[0]]
    if len(values) == len(outcomes):
        return values[0]
    errors = [outcome[1] for outcome in outcomes if outcome and not outcome[0]]
    for error in errors:
        consequence = LostProcess if interrupt is None else (LostProcess, KeyboardInterrupt)
        if not isinstance(error, consequence):
            raise error
    if interrupt is not None:
        raise interrupt
    for number, (outcome, process) in enumerate(zip(outcomes, processes, strict=True)):
        if outcome is None:
            raise RunError(_sudden_end(config["offset"] + number, process.exitcode))
    raise errors[0]


def _environments(config) -> list[dict[str, str]]:
    """The variables of each process, by which it finds the others."""
    nproc, world_size = config["nproc"], total_processes(config)
    several_machines = world_size > nproc
    port = config["port"] or (DEFAULT_PORT if several_machines else _free_port())
    return [
        {
            "RANK": str(config["offset"] + local_rank),
            "LOCAL_RANK": str(local_rank),
            "LOCAL_WORLD_SIZE": str(nproc),
            "WORLD_SIZE": str(world_size),
            "MASTER_ADDR": str(config["ip"]),
            "MASTER_PORT": str(port),
        }
        for local_rank in range(nproc)
    ]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return found.getsockname()[1]


def _wait_for(processes: list) -> KeyboardInterrupt | None:
    """Wait until all have ended, or have had their time after one failed.

    Returns:
        what has asked them to end.
    """
    running, interrupt = processes, None
    deadline: float | None = None
    while running and (deadline is None or monotonic() < deadline):
        try:
            timeout = None if deadline is None else deadline - monotonic()
            wait([process.sentinel for process in running], timeout)
        except KeyboardInterrupt as error:
            interrupt = error
            for process in running:
                os.kill(process.pid, signal.SIGINT)
        running = [process for process in running if process.is_alive()]
        if deadline is None and interrupt is None and any(p.exitcode for p in processes):
            deadline = monotonic() + PATIENCE
    return interrupt


def _received(receiver) -> tuple[bool, Any] | None:
    try:
        return receiver.recv()
    except (EOFError, OSError):  # it has ended without a word, or within one
        return None


def _sudden_end(rank: int, code: int | None) -> str:
    if code is not None and code < 0:
        how = f"by signal {-code}, as when memory runs out"
    else:
        how = f"with code {code}"
    return f"the process of rank {rank} ended {how}"


def _work(environment: dict[str, str], sender, function: Callable, arguments: tuple) -> None:
    """Run in a process of its own: send the result or the error, and end with the parent."""
    os.environ.update(environment)
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C reaches the parent, which passes it on
    leave_to_parent()
    end_with_parent()
    nproc = int(environment["LOCAL_WORLD_SIZE"])
    torch.set_num_threads(max(1, torch.get_num_threads() // nproc))
    try:
        sender.send((True, function(*arguments)))
    except (InputError, RunError, KeyboardInterrupt) as error:
        sender.send((False, error))
        sys.exit(1)
    except BaseException:
        text = f"rank {environment['RANK']} has failed:\n{traceback.format_exc()}"
        sender.send((False, RuntimeError(text)))
        sys.exit(1)


def end_with_parent() -> None:
    """End this worker process as soon as the process that started it has ended, however it did."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("this process is nobody's worker")

    def wait_for_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_parent, daemon=True).start()
