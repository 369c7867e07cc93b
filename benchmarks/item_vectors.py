"""SemanticSASRec's time and memory by the size of the catalogue: python -m benchmarks.item_vectors

A training step of 128 users and lists of ten for 128 users, with Amazon Beauty's history lengths
and the sizes of the model's YAML file, over items with random codes and three random transitions
each. The model is untrained: what an index finds of the exact lists says little of a trained one.
Every size runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import torch
from recbole.data.interaction import Interaction

from benchmarks import workload
from benchmarks.models import FIELDS
from recbole_genrec.config.layers import run_files
from recbole_genrec.config.yaml_files import read_yaml
from recbole_genrec.items.items import Items
from recbole_genrec.model.semantic_sasrec import SemanticSASRec
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs

USERS, TOP_K = 128, 10
TRANSITIONS = 3  # of each item


def build(n_items: int, **settings) -> SemanticSASRec:
    """The untrained model over so many items, with a memory of transitions."""
    config = dict(FIELDS)
    for file in run_files(SemanticSASRec, "amazon-beauty", {}):
        config |= read_yaml(file)
    config |= {**FIELDS, "memory_steps": 2, **settings}
    tokens = workload.catalogue(n_items)
    sizes = [workload.CODES] * workload.LEVELS
    items = Items(["[PAD]", *map(str, range(n_items))])
    items.ids[""] = SemanticIDs.from_tokens(tokens, sizes)
    pairs = torch.randint(1, n_items + 1, (3, TRANSITIONS * n_items))
    dataset = SimpleNamespace(
        num=lambda field: n_items + 1,
        items=items,
        target_counts=torch.randint(5, 50, (n_items + 1,)),
        before_targets=lambda steps: (pairs[:steps].t(), pairs[2]),
    )
    return SemanticSASRec(config, dataset)


def batch_of(lengths: torch.Tensor, n_items: int) -> Interaction:
    """Random histories of these lengths `[n]`, with a target each."""
    items = torch.randint(1, n_items + 1, (len(lengths), workload.MAX_ITEMS))
    items[torch.arange(workload.MAX_ITEMS) >= lengths.unsqueeze(1)] = 0
    targets = torch.randint(1, n_items + 1, (len(lengths),))
    return Interaction({"item_id_list": items, "item_length": lengths, "item_id": targets})


def measure(n_items: int, threads: int, rounds: int, clock: str) -> list[str]:
    """A row of the table."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    per_user = workload.interactions(None)
    model = build(n_items)
    lengths = workload.test_items(per_user)
    train = batch_of((lengths[torch.randperm(len(lengths))[:USERS]] - 1).clamp(min=1), n_items)
    test = batch_of(lengths[torch.randperm(len(lengths))[:USERS]], n_items)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        model.calculate_loss(train).backward()
        optimizer.step()

    def exact() -> torch.Tensor:
        model.eval().index_from = n_items + 1
        return model.recommend(test, TOP_K)[0]

    def indexed() -> torch.Tensor:
        model.eval().index_from = 1
        return model.recommend(test, TOP_K)[0]

    steps = workload.seconds({"step": step}, rounds, clock)["step"]
    model.eval()
    start = workload.CLOCKS[clock]()
    model.index()
    building = workload.CLOCKS[clock]() - start
    lists = workload.seconds({"exact": exact, "indexed": indexed}, rounds, clock)
    same = (exact().unsqueeze(2) == indexed().unsqueeze(1)).any(2).float().mean()
    sampled = "all" if model.sampler is None else f"{model.sampler.number:,}"
    return [
        f"{n_items:,}",
        f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} M",
        sampled,
        f"{steps:.2f} s",
        f"{lists['exact'] / USERS * 1e3:.2f} ms",
        f"{building:.1f} s",
        f"{lists['indexed'] / USERS * 1e3:.2f} ms",
        f"{same:.2f}",
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2:.2f} GiB",
    ]


def main() -> None:
    parser = workload.arguments(__doc__.splitlines()[0])
    parser.add_argument("--items", default="10000,100000,1000000", help="sizes, with commas")
    options = parser.parse_args()
    rows = []
    for size in map(int, options.items.split(",")):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            arguments = (size, options.threads, options.rounds, options.clock)
            rows.append(process.submit(measure, *arguments).result())
    head = ["items", "parameters", "softmax over", "a step", "a list", "index made in"]
    print(workload.table([*head, "a list by index", "of the exact list", "peak memory"], rows))


if __name__ == "__main__":
    main()
