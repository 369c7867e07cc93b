"""Training: samples per second of our packed T5 beside `transformers` T5 on padded batches.

    python -m benchmarks.training [--threads 2] [--batch 256] [--data amazon-beauty.inter]

One step is forward, cross-entropy, backward and AdamW at dropout 0.1, on batches of random
training samples of Amazon Beauty (random tokens); both sides get the same batches. The causal form
takes as many whole users instead and counts every target it trains.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from benchmarks.workload import (
    HELD_OUT,
    LEVELS,
    MAX_ITEMS,
    MODEL,
    VOCAB,
    arguments,
    interactions,
    seconds,
    table,
    training_items,
)
from recbole_genrec.model.generative_recommender import shift_right
from recbole_genrec.model.t5.t5 import T5


@dataclass
class Batch:
    """Flat history tokens, history lengths, and one row of tokens per target."""

    tokens: torch.Tensor
    lengths: torch.Tensor
    targets: torch.Tensor
    sequence: torch.Tensor | None = None
    visible: torch.Tensor | None = None

    @property
    def inputs(self) -> torch.Tensor:
        return shift_right(self.targets)

    def to(self, device: str) -> Batch:
        """Tokens on the device; lengths stay on the host, where the packing is planned."""
        tokens, targets = self.tokens.to(device), self.targets.to(device)
        return Batch(tokens, self.lengths, targets, self.sequence, self.visible)


def prefix_batch(items: torch.Tensor, size: int) -> Batch:
    """Random samples, one target each."""
    lengths = items[torch.randint(len(items), (size,))] * LEVELS
    return Batch(random_tokens(int(lengths.sum())), lengths, random_tokens(size, LEVELS))


def user_batch(per_user: torch.Tensor, size: int) -> Batch:
    """Random users' windows of at most MAX_ITEMS history items, a target after every item."""
    windows = []
    while len(windows) < size:
        left = int(per_user[torch.randint(len(per_user), ())]) - HELD_OUT - 1
        while left > 0:
            windows.append(min(left, MAX_ITEMS))
            left -= windows[-1]
    items = torch.tensor(windows)
    sequence = torch.arange(len(items)).repeat_interleave(items)
    end = torch.arange(len(sequence)) - (items.cumsum(0) - items)[sequence] + 1
    tokens = random_tokens(int(items.sum()) * LEVELS)
    targets = random_tokens(len(sequence), LEVELS)
    return Batch(tokens, items * LEVELS, targets, sequence, end * LEVELS)


def random_tokens(*shape: int) -> torch.Tensor:
    return torch.randint(1, VOCAB, shape)


def our_logits(t5: T5, batch: Batch) -> torch.Tensor:
    history = t5.embedding(batch.tokens)
    return t5(history, batch.lengths, batch.inputs, batch.sequence, batch.visible)


def padded_logits(hf_model, batch: Batch) -> torch.Tensor:
    """`transformers` on histories padded to MAX_ITEMS, as public implementations train it."""
    width = MAX_ITEMS * LEVELS
    mask = torch.arange(width) < batch.lengths.unsqueeze(1)
    tokens = torch.zeros(mask.shape, dtype=torch.long)
    tokens[mask] = batch.tokens.cpu()
    device = batch.targets.device
    return hf_model(
        input_ids=tokens.to(device),
        attention_mask=mask.long().to(device),
        decoder_input_ids=batch.inputs,
    ).logits


class Training:
    """Steps of one model over its batches, round and round."""

    def __init__(self, model, logits, batches: list[Batch], bf16: bool):
        self.model, self.logits, self.bf16 = model.train(), logits, bf16
        self.targets = sum(len(batch.targets) for batch in batches)
        self.batches = itertools.cycle(batches)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step(self) -> None:
        batch = next(self.batches)
        with torch.autocast(batch.targets.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.logits(self.model, batch)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def candidates(per_user: torch.Tensor, batch: int, steps: int, device: str) -> dict[str, Training]:
    """The peer, ours and ours with causal attention, in fp32 and in bf16.

    Each has as many batches as are timed at once, so that all of them see the same ones.
    """
    items = training_items(per_user)
    prefixes = [prefix_batch(items, batch).to(device) for _ in range(steps)]
    users = [user_batch(per_user, batch).to(device) for _ in range(steps)]
    t5 = T5(VOCAB, **MODEL).to(device)
    causal = T5(VOCAB, **MODEL, history_attention="causal", tokens_per_item=LEVELS).to(device)
    peer = t5.to_transformers()
    rows = {}
    for kind, bf16 in (("fp32", False), ("bf16", True)):
        rows[f"transformers, padded, {kind}"] = Training(peer, padded_logits, prefixes, bf16)
        rows[f"ours, packed, {kind}"] = Training(t5, our_logits, prefixes, bf16)
        rows[f"ours, causal, {kind}"] = Training(causal, our_logits, users, bf16)
    return rows


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256, help="samples of a step")
    parser.add_argument("--steps", type=int, default=4, help="steps timed at once")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="run only rows whose name has this in it")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    per_user = interactions(args.data)
    rows = candidates(per_user, args.batch, args.steps, args.device)
    rows = {name: training for name, training in rows.items() if args.only in name}

    def steps(training: Training):
        return lambda: [training.step() for _ in range(args.steps)]

    times = seconds(
        {name: steps(training) for name, training in rows.items()}, args.rounds, args.clock
    )
    rates = {name: training.targets / times[name] for name, training in rows.items()}
    print_rates(rates, len(training_items(per_user)))


def print_rates(rates: dict[str, float], samples: int) -> None:
    lines = []
    for name, rate in rates.items():
        ratios = [
            f"{rate / peer:.2f}" if (peer := rates.get(f"transformers, padded, {kind}")) else "-"
            for kind in ("fp32", "bf16")
        ]
        lines.append([name, f"{rate:.1f}", *ratios, f"{samples / rate / 60:.2f}"])
    header = ["model", "targets/s", "to peer fp32", "to peer bf16", f"min/epoch ({samples:,})"]
    print(table(header, lines))


if __name__ == "__main__":
    main()
