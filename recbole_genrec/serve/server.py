"""From a checkpoint to a running server, and its end."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from recbole_genrec.errors import InputError, check_number
from recbole_genrec.inference import Recommender
from recbole_genrec.serve.app import create_app
from recbole_genrec.serve.questions import Limits
from recbole_genrec.stopping import SENT

LAST_PORT = 65_535
SECONDS_TO_FINISH = 30  # after which a stopped server leaves what still runs


def serve(
    checkpoint: str | Path, host: str = "127.0.0.1", port: int = 8000, limits: Limits | None = None
) -> None:
    """Answer requests until Ctrl-C, SIGTERM or SIGHUP; what has been asked by then is answered.

    Args:
        checkpoint: a sequential model that training has saved.
        host: a name or address of this machine; whoever reaches it may ask.
        port: 0 for any that is free.
        limits: of requests; the usual ones if not given.

    Raises:
        InputError: when the checkpoint cannot be used, or the address cannot be had.
    """
    with bound_socket(host, port) as listener:  # before the long work
        recommender = Recommender.from_checkpoint(checkpoint)
        app = create_app(recommender, limits)
        server = Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=SECONDS_TO_FINISH,
            ),
            f"{recommender.name} with {recommender.num_items:,} items answers",
        )
        with server.stopped_by_signals():
            server.run([listener])
        print("stopped", flush=True)


class Server(uvicorn.Server):
    """A server that says where it answers as soon as it does.

    Args:
        config: of uvicorn.
        what: the beginning of the line that it prints.
    """

    def __init__(self, config: uvicorn.Config, what: str) -> None:
        super().__init__(config)
        self.what = what

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            host, port = each.getsockname()[:2]
            host = f"[{host}]" if ":" in host else host
            print(f"{self.what} on http://{host}:{port} (Ctrl-C stops it)", flush=True)

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Let signals stop the server and nothing else: uvicorn sends them again when it ends.

        A closed terminal stops it as Ctrl-C does, unless that is ignored, as under `nohup`.
        """
        numbers = [n for n in (signal.SIGINT, *SENT) if signal.getsignal(n) != signal.SIG_IGN]
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket of this address that does not listen yet.

    Raises:
        InputError: if the host is not one of this machine, or the port is taken or not allowed.
    """
    check_number("port", port, 0, LAST_PORT)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"host should be a name or address of this machine, found [{host}] ({_reason(error)})"
        ) from None
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        raise InputError(
            f"host {host}, port {port} cannot be had ({_reason(error)}): choose another"
        ) from None
    return found


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
