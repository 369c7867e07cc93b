"""UniGRec beside TIGER of the same size: what a training step and an evaluation cost.

    python -m benchmarks.unigrec [--threads 2] [--batch 512] [--data amazon-beauty.inter]

One step is forward, all losses, backward and AdamW at dropout 0.1, on batches of random training
samples of Amazon Beauty: lengths of its histories, items drawn at random from 12,101, which makes
more of them distinct, and so more work for UniGRec's tokenizer, than real histories do. The
tokenizer has the paper's size on embeddings of 768 dims, the teacher 256 dims. An evaluation
recommends to random test users by beam search of width 30, UniGRec's table of all items included.
"""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import torch
from recbole.data.interaction import Interaction

from benchmarks.workload import (
    CODES,
    MAX_ITEMS,
    MODEL,
    NUM_ITEMS,
    arguments,
    interactions,
    seconds,
    table,
    test_items,
    training_items,
)
from recbole_genrec.config.layers import properties
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.items.items import Items
from recbole_genrec.items.needs import COLLABORATIVE, TEXT
from recbole_genrec.model.soft_identifiers import follow_codes
from recbole_genrec.model.tiger import TIGER
from recbole_genrec.model.unigrec import UniGRec
from recbole_genrec.tokenizer.collision import resolve_collisions
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs
from recbole_genrec.tokenizer.soft_rqvae import SoftRQVAE

DIM, TEACHER_DIM = 768, 256
FIELDS = {
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "item_length",
    "NEG_PREFIX": "neg_",
    "MAX_ITEM_LIST_LENGTH": MAX_ITEMS,
}


def settings(device: str) -> dict:
    """UniGRec's own settings; TIGER gets the same."""
    files = ["items", "tokenizer/common", "tokenizer/SoftRQVAE", "model/TIGER", "model/UniGRec"]
    merged: dict = {"seed": 0, "sid_file": None, "device": device, **FIELDS}
    return merged | properties(*files) | MODEL


def data_set(config: dict) -> SimpleNamespace:
    """12,101 items with random embeddings and an untrained tokenizer."""
    embeddings = torch.nn.functional.pad(torch.randn(NUM_ITEMS, DIM), (0, 0, 1, 0))
    tokenizer = SoftRQVAE(config, DIM)
    for codebook in tokenizer.codebooks:
        torch.nn.init.normal_(codebook)
    tokenizer.temperature.fill_(config["tokenizer_temperature_min"])
    codes = torch.randint(CODES, (NUM_ITEMS, len(config["codebook_sizes"])))  # well spread
    codes, sizes = resolve_collisions(
        codes, config["codebook_sizes"], append_size=config["append_size"]
    )
    teacher = torch.randn(NUM_ITEMS + 1, TEACHER_DIM)
    items = Items(
        [str(item) for item in range(NUM_ITEMS + 1)],
        embeddings={
            TEXT: ItemEmbeddings(embeddings, ItemEncoder()),
            COLLABORATIVE: ItemEmbeddings(teacher, ItemEncoder()),
        },
        ids={"": SemanticIDs(torch.nn.functional.pad(codes, (0, 0, 1, 0)), sizes)},
        tokenizers={"": tokenizer},
    )
    return SimpleNamespace(
        num=lambda field: NUM_ITEMS + 1,
        items=items,
        target_counts=torch.ones(NUM_ITEMS + 1, dtype=torch.long),
    )


def batch(lengths: torch.Tensor, size: int, device: str) -> Interaction:
    """Random samples with histories of random lengths out of `lengths`."""
    lengths = lengths[torch.randint(len(lengths), (size,))]
    items = torch.randint(1, NUM_ITEMS + 1, (size, MAX_ITEMS))
    items[torch.arange(MAX_ITEMS) >= lengths.unsqueeze(1)] = 0
    targets = torch.randint(1, NUM_ITEMS + 1, (size,))
    fields = {"item_id_list": items, "item_length": lengths, "item_id": targets}
    return Interaction(fields).to(device)


class Training:
    """Steps of one model over its batches, round and round."""

    def __init__(self, model: TIGER, batches: list[Interaction], epoch: int = 0):
        self.model, self.batches, self.epoch = model, itertools.cycle(batches), epoch
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step(self) -> None:
        self.model.train().epoch = self.epoch
        losses = self.model.calculate_loss(next(self.batches))
        self.optimizer.zero_grad()
        (sum(losses) if isinstance(losses, tuple) else losses).backward()
        self.optimizer.step()


def evaluation(model: TIGER, users: list[Interaction]):
    """A whole evaluation, as after an epoch in which all weights have changed."""

    def run() -> None:
        model.eval()
        with torch.no_grad():
            model.t5.embedding.weight.mul_(1)  # counts as a change
        for interaction in users:
            model.recommend(interaction, 10)
        if interaction.interaction["item_id"].is_cuda:
            torch.cuda.synchronize()

    return run


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=512, help="samples of a step")
    parser.add_argument("--steps", type=int, default=3, help="steps timed at once")
    parser.add_argument("--users", type=int, default=2048, help="users of an evaluation")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    per_user = interactions(args.data)
    config = settings(args.device)
    data = data_set(config)
    tiger = TIGER(config, data).to(args.device)
    model = UniGRec(config, data).to(args.device)
    steps = [batch(training_items(per_user), args.batch, args.device) for _ in range(args.steps)]
    users = [batch(test_items(per_user), min(args.users, 1024), args.device)]
    users *= max(1, args.users // 1024)

    warmed_up = model.distillation_epochs.start
    trainings = {
        "TIGER": Training(tiger, steps),
        "UniGRec, distillation waits": Training(model, steps),
        "UniGRec": Training(model, steps, epoch=warmed_up),
    }
    times = seconds(
        {
            name: lambda training=training: [training.step() for _ in steps]
            for name, training in trainings.items()
        },
        args.rounds,
    )
    rows = [
        [name, f"{1000 * time / len(steps):.0f}", f"{time / times['TIGER']:.2f}"]
        for name, time in times.items()
    ]
    print(table(["training", "ms/step", "to TIGER"], rows))

    evaluations = {"TIGER": evaluation(tiger, users), "UniGRec": evaluation(model, users)}
    times = seconds(evaluations, args.rounds)
    times["following the tokenizer, once an epoch"] = seconds(
        {"": lambda: follow(model)}, args.rounds
    )[""]
    rows = [[name, f"{time:.2f}", f"{time / times['TIGER']:.2f}"] for name, time in times.items()]
    print()
    print(table([f"evaluation of {args.users:,} users", "s", "to TIGER"], rows))


def follow(model: UniGRec) -> SemanticIDs:
    codes = model.tokenizer.encode(model.item_embeddings[1:])
    return follow_codes(codes, model.ids.semantic_ids)


if __name__ == "__main__":
    main()
