"""Beam search: users per second of our T5 beside `transformers` generate with a Python trie.

    python -m benchmarks.decoding [--threads 2] [--users 256] [--data amazon-beauty.inter]

Same weights, same test users of Amazon Beauty, 12,101 items of four tokens. The peer decodes a
subset of the users (it is that slow), on which the ranked lists are compared.
"""

from __future__ import annotations

import time

import torch

from benchmarks.workload import (
    LEVELS,
    MAX_ITEMS,
    MODEL,
    VOCAB,
    arguments,
    catalogue,
    interactions,
    seconds,
    table,
    test_items,
)
from recbole_genrec.decoding.trie import ItemTrie
from recbole_genrec.model.kernels.linear import linear
from recbole_genrec.model.t5.generation import generate
from recbole_genrec.model.t5.t5 import T5


class PythonTrie:
    """A trie of dictionaries, as public implementations constrain `generate`."""

    def __init__(self, tokens: torch.Tensor):
        self.root = {}
        for row in tokens[1:].tolist():
            node = self.root
            for token in row:
                node = node.setdefault(token, {})

    def allowed(self, batch: int, prefix: torch.Tensor) -> list[int]:
        node = self.root
        for token in prefix.tolist()[1:]:  # behind the decoder's start token
            node = node[token]
        return list(node)


class Peer:
    """`transformers` generate, on histories padded to the longest of each batch of users."""

    def __init__(self, t5: T5, tokens: torch.Tensor, beam: int, batch: int = 32):
        self.model, self.trie = t5.to_transformers(), PythonTrie(tokens)
        self.beam, self.batch = beam, batch
        self.item = {tuple(row): item for item, row in enumerate(tokens.tolist())}

    @torch.no_grad()
    def __call__(self, histories: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, scores = [], []
        for first in range(0, len(histories), self.batch):
            chunk = histories[first : first + self.batch]
            padded = torch.nn.utils.rnn.pad_sequence(chunk, batch_first=True)
            out = self.model.generate(
                input_ids=padded,
                attention_mask=(padded > 0).long(),
                num_beams=self.beam,
                num_return_sequences=self.beam,
                max_new_tokens=LEVELS,
                length_penalty=0.0,
                do_sample=False,
                prefix_allowed_tokens_fn=self.trie.allowed,
                return_dict_in_generate=True,
                output_scores=True,
            )
            ids += [self.item[tuple(row)] for row in out.sequences[:, 1:].tolist()]
            scores.append(out.sequences_scores)
        shape = (len(histories), self.beam)
        return torch.tensor(ids).view(shape), torch.cat(scores).view(shape)


class Ours:
    """Our generation, of histories of tokens."""

    def __init__(self, t5: T5, trie: ItemTrie, beam: int, bf16: bool = False):
        self.t5, self.trie, self.beam, self.bf16 = t5, trie, beam, bf16

    @torch.no_grad()
    def __call__(self, histories: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        lengths = torch.tensor([len(history) for history in histories])
        device = self.trie.item.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.bf16):
            history = self.t5.embedding(torch.cat(histories))
            return generate(self.t5, history, lengths, self.trie, self.beam)


def random_histories(tokens: torch.Tensor, items: torch.Tensor) -> list[torch.Tensor]:
    """Tokens of histories of the given numbers of random items."""
    return [tokens[torch.randint(1, len(tokens), (n,))].flatten() for n in items.tolist()]


def gigaflops(items: float, beam: int) -> float:
    """Of the matrix products that one user's search needs at least, without padding."""
    d, ff, inner = MODEL["d_model"], MODEL["d_ff"], MODEL["num_heads"] * MODEL["d_kv"]
    tokens = items * LEVELS
    queries = 1 + (LEVELS - 1) * beam
    encoder = MODEL["num_layers"] * tokens * (4 * d * inner + 2 * d * ff + 2 * tokens * inner)
    memory = MODEL["num_decoder_layers"] * tokens * 2 * d * inner
    per_query = 6 * d * inner + 2 * d * ff + 2 * tokens * inner
    decoder = queries * (MODEL["num_decoder_layers"] * per_query + d * VOCAB)
    return 2 * (encoder + memory + decoder) / 1e9


def matmul_speed(dtype: torch.dtype) -> float:
    """GFLOP/s of the largest product of a decoder layer, the machine's bound for all of them."""
    x = torch.randn(960, MODEL["d_model"], dtype=dtype)
    weight = torch.randn(3 * MODEL["num_heads"] * MODEL["d_kv"], MODEL["d_model"], dtype=dtype)
    best = float("inf")
    with torch.no_grad():
        for _ in range(50):
            start = time.perf_counter()
            linear(x, weight)
            best = min(best, time.perf_counter() - start)
    return 2 * x.numel() * len(weight) / best / 1e9


def compare(ours, theirs) -> str:
    (ids, scores), (ids_peer, scores_peer) = ours, theirs
    same = int((ids == ids_peer).all(1).sum())
    gap = float((scores - scores_peer).abs().max())
    return f"{same} of {len(ids)} ranked lists identical, scores at most {gap:.1e} apart"


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=256, help="test users that we decode")
    parser.add_argument("--peer_users", type=int, default=64, help="of them, for the peer")
    parser.add_argument("--beam", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    t5 = T5(VOCAB, **MODEL).eval()
    tokens = catalogue()
    every = test_items(interactions(args.data))
    items = every[torch.randperm(len(every))[: args.users]]
    histories = random_histories(tokens, items)
    few = histories[: args.peer_users]
    trie = ItemTrie(tokens)
    ours, bf16 = Ours(t5, trie, args.beam), Ours(t5, trie, args.beam, bf16=True)
    peer = Peer(t5, tokens, args.beam)
    print(compare(ours(few), peer(few)))
    candidates = {
        "transformers generate, Python trie, fp32": lambda: peer(few),
        "ours, fp32": lambda: ours(histories),
        "ours, bf16": lambda: bf16(histories),
    }
    times = seconds(candidates, args.rounds, args.clock)
    users = {name: len(few) if "transformers" in name else len(histories) for name in times}
    rates = {name: users[name] / times[name] for name in times}
    slowest = rates["transformers generate, Python trie, fp32"]
    work = sum(gigaflops(n, args.beam) for n in items.tolist()) / len(items)
    lines = []
    for name, rate in rates.items():
        speed = matmul_speed(torch.bfloat16 if "bf16" in name else torch.float32)
        share = f"{rate * work / speed:.0%}"
        minutes = len(every) / rate / 60
        lines.append([name, f"{rate:.1f}", f"{rate / slowest:.1f}", share, f"{minutes:.2f}"])
    header = ["engine", "users/s", "ratio", "of matmul bound", f"min per {len(every):,} users"]
    print(
        f"{work:.3f} GFLOP per user, mean history {items.float().mean():.2f} of {MAX_ITEMS} items"
    )
    print(table(header, lines))


if __name__ == "__main__":
    main()
