"""Losses: what a training step costs with each of them, beside plain cross-entropy.

    python -m benchmarks.losses [--threads 2] [--batch 256] [--data amazon-beauty.inter]

One step is forward, loss, backward and AdamW at dropout 0.1 on our packed T5, on batches of random
training samples of Amazon Beauty; all losses get the same batches. Each has its own copy of the
model. The middle columns are for the loss alone: forward and backward to the logits.
"""

from __future__ import annotations

import copy
import itertools

import torch

from benchmarks.workload import (
    CODES,
    LEVELS,
    MODEL,
    VOCAB,
    arguments,
    catalogue,
    interactions,
    seconds,
    table,
    training_items,
)
from recbole_genrec.config.layers import properties
from recbole_genrec.loss import LOSSES, LossContext, build_loss
from recbole_genrec.model.generative_recommender import shift_right
from recbole_genrec.model.t5.t5 import T5

CASES = {name: {**properties(f"loss/{name}"), "loss": name} for name in LOSSES}
CASES["token_weighted, exact"] = {**CASES["token_weighted"], "scaled_logits": True}


class Training:
    """Steps of one model with one loss over its batches, round and round."""

    def __init__(self, t5: T5, loss: torch.nn.Module, batches: list[tuple]):
        self.t5, self.loss = t5.train(), loss.train()
        self.batches = itertools.cycle(batches)
        parameters = [*t5.parameters(), *loss.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step(self) -> None:
        tokens, lengths, labels = next(self.batches)
        inputs = shift_right(labels)
        logits = self.t5(self.t5.embedding(tokens), lengths, inputs)
        without_history = None
        if self.loss.needs_history_free:  # all targets after one history, a single padding token
            padding = self.t5.embedding(tokens.new_zeros(1))
            one = torch.ones(1, dtype=torch.long)
            alike = torch.zeros(len(labels), dtype=torch.long)
            without_history = self.t5(padding, one, inputs, sequence=alike)
        self.optimizer.zero_grad()
        self.loss(logits, labels, without_history).backward()
        self.optimizer.step()

    def loss_alone(self, logits: torch.Tensor) -> None:
        labels = next(self.batches)[2]
        logits = logits.detach().requires_grad_()
        self.loss(logits, labels, logits.detach()).backward()


def sample(item_tokens: torch.Tensor, items: torch.Tensor, size: int, device: str) -> tuple:
    """Flat history tokens, history lengths on the host, and target tokens of random samples."""
    lengths = items[torch.randint(len(items), (size,))]
    history = torch.randint(1, len(item_tokens), (int(lengths.sum()),))
    labels = item_tokens[torch.randint(1, len(item_tokens), (size,))]
    return item_tokens[history].flatten().to(device), lengths * LEVELS, labels.to(device)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256, help="samples of a step")
    parser.add_argument("--steps", type=int, default=4, help="steps timed at once")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    items = training_items(interactions(args.data))
    item_tokens = catalogue()
    context = LossContext(
        tokens=item_tokens,
        codebook_sizes=[CODES] * LEVELS,
        item_embeddings=torch.randn(len(item_tokens), 384),
        target_counts=torch.randint(0, 30, (len(item_tokens),)),
    )
    batches = [sample(item_tokens, items, args.batch, args.device) for _ in range(args.steps)]
    t5 = T5(VOCAB, **MODEL).to(args.device)
    rows = {
        name: Training(copy.deepcopy(t5), build_loss(config, context).to(args.device), batches)
        for name, config in CASES.items()
    }
    logits = torch.randn(args.batch, LEVELS, VOCAB, device=args.device)

    def repeat(function, *arguments):
        return lambda: [function(*arguments) for _ in range(args.steps)]

    steps = seconds({name: repeat(row.step) for name, row in rows.items()}, args.rounds)
    alone = seconds({n: repeat(row.loss_alone, logits) for n, row in rows.items()}, args.rounds)
    plain = steps["cross_entropy"]
    print(
        table(
            ["loss", "ms per step", "ms of the loss alone", "its share of the step", "step, ratio"],
            [
                [
                    name,
                    f"{1000 * steps[name] / args.steps:.0f}",
                    f"{1000 * alone[name] / args.steps:.1f}",
                    f"{100 * alone[name] / steps[name]:.1f} %",
                    f"{steps[name] / plain:.3f}",
                ]
                for name in rows
            ],
        )
    )


if __name__ == "__main__":
    main()
