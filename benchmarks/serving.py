"""Requests a second and waiting times of the service: python -m benchmarks.serving

TIGER in the size of its YAML files, untrained, with random semantic IDs: only cost is measured. The
server has a process of its own; clients ask for ten items after a random history and ask again as
soon as they have the answer. With `--hold 300` 64 clients ask for five minutes, and errors and the
server's memory are printed.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

import numpy as np
import psutil
import torch

from benchmarks import untrained, workload
from recbole_genrec.inference import Recommender
from recbole_genrec.model.tiger import TIGER
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs

CATALOGUES = {  # items, longest history, and the data set in whose size the model is
    "ml-100k": (1_349, 50, "ml-100k"),
    "Beauty": (workload.NUM_ITEMS, workload.MAX_ITEMS, "amazon-beauty"),
    "1 M items": (1_000_000, workload.MAX_ITEMS, "amazon-beauty"),
}
CLIENTS = (1, 8, 64)
WARM_UP = 2.0  # seconds


def build(num_items: int, history_length: int, dataset: str) -> Recommender:
    """An untrained TIGER with as many items, in the size that it has on this data set."""
    sizes = [workload.CODES] * workload.LEVELS
    items = untrained.made_up_items(num_items)
    items.ids[""] = SemanticIDs.from_tokens(workload.catalogue(num_items), sizes)
    given = {"codebook_sizes": sizes, "MAX_ITEM_LIST_LENGTH": history_length}
    config = untrained.settings(TIGER, dataset, **given)
    return Recommender(TIGER(config, untrained.data_set(items)))


def run_server(catalogue: str, batch: int, threads: int, pipe) -> None:
    """Serve until the parent ends this process; tells it the port."""
    import uvicorn

    from recbole_genrec.serve import Limits, create_app
    from recbole_genrec.serve.server import bound_socket

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    app = create_app(build(*CATALOGUES[catalogue]), Limits(batch=batch))
    listener = bound_socket("127.0.0.1", 0)
    pipe.send(listener.getsockname()[1])
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run([listener])


@contextmanager
def server(catalogue: str, batch: int, threads: int) -> Iterator[tuple[int, psutil.Process]]:
    """The port and the process of a server that answers."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=run_server, args=(catalogue, batch, threads, theirs), daemon=True
    )
    process.start()
    try:
        port = ours.recv()
        while True:
            try:
                request(HTTPConnection("127.0.0.1", port), ["1"])
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.join()


def request(connection: HTTPConnection, history: list[str]) -> None:
    """Ask once.

    Raises:
        RuntimeError: for any answer but a list of ten.
    """
    body = json.dumps({"history": history, "top_k": 10})
    connection.request("POST", "/recommend", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200 or len(json.loads(answer)["recommendations"]) != 10:
        raise RuntimeError(f"{response.status} {answer[:200]!r}")


class Clients:
    """Threads that ask again and again.

    Attributes:
        seconds: how long each answer has taken, those of the warm-up left out.
        errors: what went wrong.
    """

    def __init__(self, port: int, catalogue: str, number: int, seconds: float) -> None:
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self.items, self.length, _ = CATALOGUES[catalogue]
        self.start = time.perf_counter() + WARM_UP
        self.end = self.start + seconds
        self.threads = [
            threading.Thread(target=self._ask, args=(port, seed)) for seed in range(number)
        ]
        for thread in self.threads:
            thread.start()

    def wait(self) -> None:
        for thread in self.threads:
            thread.join()

    def _ask(self, port: int, seed: int) -> None:
        choose = random.Random(seed)
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while (asked := time.perf_counter()) < self.end:
            length = choose.randint(2, self.length)
            try:
                request(connection, [str(choose.randrange(self.items)) for _ in range(length)])
            except (OSError, RuntimeError) as error:
                self.errors.append(repr(error))
                connection.close()
            answered = time.perf_counter()
            if answered >= self.start:
                self.seconds.append(answered - asked)


def measure(catalogue: str, batch: int, options) -> list[list[str]]:
    """A row of the table for each number of clients."""
    rows = []
    with server(catalogue, batch, options.threads) as (port, _):
        for number in CLIENTS:
            clients = Clients(port, catalogue, number, options.seconds)
            clients.wait()
            middle, slow = np.percentile(clients.seconds, [50, 99]) * 1000
            rate = len(clients.seconds) / options.seconds
            row = [catalogue, "shared" if batch > 1 else "one each", str(number)]
            row += [f"{rate:.0f}", f"{middle:.0f} ms", f"{slow:.0f} ms", str(len(clients.errors))]
            rows.append(row)
    return rows


def hold(options) -> None:
    """Have 64 clients ask for long, and print errors and memory."""
    with server(options.catalogues[0], 64, options.threads) as (port, process):
        clients = Clients(port, options.catalogues[0], max(CLIENTS), options.hold)
        time.sleep(max(WARM_UP, min(20, options.hold / 10)))
        memory = [process.memory_info().rss / 2**20]
        while clients.threads[0].is_alive():
            time.sleep(min(30, options.hold / 10))
            memory.append(process.memory_info().rss / 2**20)
        clients.wait()
        memory.append(process.memory_info().rss / 2**20)
    print(f"{max(CLIENTS)} clients for {options.hold} s, {options.catalogues[0]}")
    print(f"{len(clients.seconds)} answers, {len(clients.errors)} errors {set(clients.errors)}")
    print(f"memory of the server in MiB: {', '.join(f'{each:.0f}' for each in memory)}")


def main() -> None:
    parser = workload.arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--hold", type=int, help="seconds of one long measurement instead")
    parser.add_argument(
        "--catalogues",
        type=lambda text: text.split(","),
        default=list(CATALOGUES),
        help=f"with commas: {','.join(CATALOGUES)}",
    )
    options = parser.parse_args()
    if options.hold is not None:
        hold(options)
        return
    batches = (64, 1)
    rows = [
        row
        for name in options.catalogues
        for batch in batches
        for row in measure(name, batch, options)
    ]
    head = ["catalogue", "batch", "clients", "requests/s", "median", "99 %", "errors"]
    print(workload.table(head, rows))


if __name__ == "__main__":
    main()
