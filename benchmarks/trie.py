"""The item trie from 10 thousand to 10 million items: build time, size, and users per second.

    python -m benchmarks.trie [--threads 2] [--items 10000 100000 1000000 10000000]

Users are decoded by the whole T5, so the last column is what a larger catalogue costs in practice.
"""

from __future__ import annotations

import time

import torch

from benchmarks.decoding import Ours, random_histories
from benchmarks.workload import (
    MODEL,
    VOCAB,
    arguments,
    catalogue,
    interactions,
    seconds,
    table,
    test_items,
)
from recbole_genrec.decoding.beam_search import beam_search
from recbole_genrec.decoding.trie import ItemTrie
from recbole_genrec.model.t5.t5 import T5

LOGITS_OF = 32  # users


def search_alone(trie: ItemTrie, logits: torch.Tensor) -> None:
    """The trie and the choice of beams without a model."""
    beam = logits.shape[1]
    beam_search(lambda tokens, _: logits[:, : tokens.shape[1]], trie, beam, LOGITS_OF)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    sizes = [10**4, 10**5, 10**6, 10**7]
    parser.add_argument("--items", type=int, nargs="+", default=sizes)
    parser.add_argument("--users", type=int, default=128)
    parser.add_argument("--beam", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    t5 = T5(VOCAB, **MODEL).eval()
    every = test_items(interactions(args.data))
    items = every[torch.randperm(len(every))[: args.users]]
    engines, builds = {}, {}
    for size in args.items:
        tokens = catalogue(size)
        start = time.perf_counter()
        engines[size] = Ours(t5, ItemTrie(tokens), args.beam)
        builds[size] = time.perf_counter() - start
    histories = random_histories(catalogue(), items)
    whole = seconds(
        {size: lambda engine=engine: engine(histories) for size, engine in engines.items()},
        args.rounds,
        args.clock,
    )
    logits = torch.randn(LOGITS_OF, args.beam, VOCAB)
    alone = seconds(
        {
            size: lambda engine=engine: search_alone(engine.trie, logits)
            for size, engine in engines.items()
        },
        10 * args.rounds,
        args.clock,
    )
    lines = [
        [
            f"{size:,}",
            f"{builds[size]:.2f}",
            f"{engines[size].trie.nbytes / size:.1f}",
            f"{alone[size] / LOGITS_OF * 1000:.3f}",
            f"{args.users / whole[size]:.1f}",
            f"{whole[size] / whole[args.items[0]]:.2f}",
        ]
        for size in args.items
    ]
    header = ["items", "build s", "bytes/item", "trie + top-k ms/user", "users/s", "time to first"]
    print(table(header, lines))


if __name__ == "__main__":
    main()
