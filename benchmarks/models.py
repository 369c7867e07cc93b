"""A training step and a recommendation of every model, on one workload: python -m benchmarks.models

Sizes are those of the models' YAML files, users and items as many as in Amazon Beauty. Models that
read one prefix per sample train one target for each, the others one after every item. A model whose
parts are trained in turn has a row for each turn, of an epoch in which all its losses have set in.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import torch

from benchmarks import untrained, workload
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.items.items import Items
from recbole_genrec.items.needs import COLLABORATIVE, TEXT, Embeddings, Tokens, with_embeddings
from recbole_genrec.model.hooks import class_hooks
from recbole_genrec.model.joint_recommender import JointRecommender
from recbole_genrec.registry import get_model
from recbole_genrec.tokenizer import create_tokenizer
from recbole_genrec.tokenizer.collision import resolve_collisions
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs

FOUR_LEVELS = {"codebook_sizes": [256] * 4}
RPG_SIZE = {  # in RecBole's names
    "n_layers": 2,
    "n_heads": 4,
    "hidden_size": 448,
    "inner_size": 1024,
    "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
    "loss_type": "CE",
}
MODELS = {
    "TIGER": FOUR_LEVELS,
    "LETTER": {},
    "DiscRec": {},
    "EAGER": {},
    "ETEGRec": {"tokenizer_epochs": 1},
    "UniGRec": {"tokenizer_epochs": 1},
    "RPG": {},
    "SASRec": {**RPG_SIZE, **FOUR_LEVELS},
}
TEXT_DIM = 384
TOP_K = 20
RECOMMEND = "recommend"  # beside the turns of training
RECBOLES_BATCH = 2048  # of models without a size of their own


def build(name: str) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The untrained model, on items with random embeddings and codes, and its settings."""
    model_class = get_model(name)
    config = untrained.settings(model_class, **MODELS[name])
    items = untrained.made_up_items()
    for need in with_embeddings(class_hooks(model_class).needs(config), config):
        if isinstance(need, Embeddings):
            width = {TEXT: TEXT_DIM, COLLABORATIVE: config["teacher_hidden_size"]}[need.name]
            vectors = pad(torch.randn(workload.NUM_ITEMS, width))
            items.embeddings[need.name] = ItemEmbeddings(vectors, ItemEncoder())
        elif issubclass(model_class, JointRecommender):
            add_tokenizer(items, need, config)
        else:
            items.ids[need.name] = random_ids(config["codebook_sizes"])
    return model_class(config, untrained.data_set(items)), config


def add_tokenizer(items: Items, need: Tokens, config: dict[str, Any]) -> None:
    """A tokenizer that hardly knows the embeddings it is for, and its codes."""
    rows = items.embeddings[need.embeddings].rows
    tokenizer = items.tokenizers[need.name] = create_tokenizer(config, rows.shape[1])
    tokenizer.fit(rows)
    codes, sizes = resolve_collisions(
        tokenizer.encode(rows), tokenizer.codebook_sizes, append_size=config["append_size"]
    )
    items.ids[need.name] = SemanticIDs(pad(codes), sizes)


def pad(rows: torch.Tensor) -> torch.Tensor:
    """The rows `[1 + n, d]` with a first one, of zeros, for the padding item."""
    return torch.nn.functional.pad(rows, (0, 0, 1, 0))


def turns(model: torch.nn.Module, config: dict[str, Any]) -> list[set[str]]:
    """The parts that are trained at once; nothing but an empty set where all of them are."""
    if not isinstance(model, JointRecommender):
        return [set()]
    model.on_epoch_start(config["epochs"] - 1)
    return [set(rates) for rates in model.phases(config)[0].learning_rates]


def random_ids(sizes: list[int]) -> SemanticIDs:
    """Unique IDs of all items."""
    levels = [torch.randint(size, (workload.NUM_ITEMS + 1,)) for size in sizes]
    if prod(sizes) < 2**24:  # too few for all to be unique by chance
        number = torch.randperm(prod(sizes))[: workload.NUM_ITEMS + 1]
        levels = [number // prod(sizes[end:]) % size for end, size in enumerate(sizes, 1)]
    codes = torch.stack(levels, dim=1)
    codes[0] = 0
    return SemanticIDs(codes, sizes)


def measure(name: str, samples: torch.Tensor, users: torch.Tensor, options) -> list[list[str]]:
    """Rows of the table: seconds per epoch and per evaluation of all users of Beauty."""
    model, config = build(name)
    batch_size = options.batch_size or config.get("train_batch_size", RECBOLES_BATCH)
    one_pass = getattr(model, "trains_in_one_pass", False)
    # one pass reads the whole training sequence of a user once
    pool = (users - 1).clamp_min(1) if one_pass else samples
    batch = untrained.batch_of(pool[torch.randperm(len(pool))[:batch_size]])
    targets = int(batch["item_length"].sum()) if one_pass else len(batch)
    test = untrained.batch_of(users[torch.randperm(len(users))[: options.users]])
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def train(turn: set[str]) -> None:
        model.train()
        for part, parameters in model.parts().items() if turn else ():
            for parameter in parameters:
                parameter.requires_grad_(part in turn)
        optimizer.zero_grad()
        losses = model.calculate_loss(batch)
        (sum(losses) if isinstance(losses, tuple) else losses).backward()
        optimizer.step()

    @torch.no_grad()
    def recommend() -> None:
        model.eval()
        if hasattr(model, "recommend"):
            model.recommend(test, TOP_K)
        else:
            model.full_sort_predict(test).view(len(test), -1).topk(TOP_K)

    trained = {", ".join(sorted(turn)): partial(train, turn) for turn in turns(model, config)}
    times = workload.seconds({**trained, RECOMMEND: recommend}, options.rounds, options.clock)
    evaluation = times[RECOMMEND] / len(test) * len(users)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return [
        [
            f"{name} ({turn})" if turn else name,
            f"{parameters / 1e6:.1f} M",
            f"{len(batch)}",
            f"{times[turn]:.2f} s",
            f"{times[turn] / targets * len(samples):.0f} s",
            f"{evaluation:.0f} s",
        ]
        for turn in trained
    ]


def main() -> None:
    parser = workload.arguments(__doc__)
    parser.add_argument("--models", default=",".join(MODELS), help="names, separated by commas")
    parser.add_argument("--batch_size", type=int, help="samples of a step, those of the YAML file")
    parser.add_argument("--users", type=int, default=256, help="users of an evaluation batch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    per_user = workload.interactions(options.data)
    samples, users = workload.training_items(per_user), workload.test_items(per_user)
    names = options.models.split(",")
    rows = [row for name in names for row in measure(name, samples, users, options)]
    head = ["model", "parameters", "samples a step", "a step", "an epoch", "an evaluation"]
    print(workload.table(head, rows))


if __name__ == "__main__":
    main()
