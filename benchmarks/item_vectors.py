"""SemanticSASRec's time and memory by the size of the catalogue: python -m benchmarks.item_vectors

A training step of 128 users and lists of ten for 128 users, with Amazon Beauty's history lengths
and the settings of the model's YAML file, over items with random codes, three random transitions
each, and random texts, whose neighbors are left out above 100,000 items. The model is untrained:
what an index finds of the exact lists says little of a trained one. Every size runs in a process of
its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor

import torch
from torch.nn import functional as F

from benchmarks import untrained, workload
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.items.needs import TEXT
from recbole_genrec.model.semantic_sasrec import SemanticSASRec
from recbole_genrec.model.text_neighbors import EXACT
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs

USERS, TOP_K = 128, 10
TRANSITIONS = 3  # of each item
TEXT_WIDTH = 384  # of MiniLM


def build(n_items: int, **settings) -> SemanticSASRec:
    """The untrained model over so many items."""
    items = untrained.made_up_items(n_items)
    if n_items <= EXACT:
        text = F.pad(torch.randn(n_items, TEXT_WIDTH), (0, 0, 1, 0))
        items.embeddings[TEXT] = ItemEmbeddings(text, ItemEncoder())
    else:
        settings |= {"item_vectors": ["own", "codes"], "neighbor_steps": 0}
    sizes = [workload.CODES] * workload.LEVELS
    items.ids[""] = SemanticIDs.from_tokens(workload.catalogue(n_items), sizes)
    pairs = torch.randint(1, n_items + 1, (5, TRANSITIONS * n_items))
    dataset = untrained.data_set(
        items,
        target_counts=torch.randint(5, 50, (n_items + 1,)),
        before_targets=lambda steps: (pairs[:steps].t(), pairs[-1]),
    )
    config = untrained.settings(SemanticSASRec, **settings)
    return SemanticSASRec(config, dataset)


def measure(n_items: int, threads: int, rounds: int, clock: str) -> list[str]:
    """A row of the table."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    per_user = workload.interactions(None)
    model = build(n_items)
    lengths = workload.test_items(per_user)
    chosen = lengths[torch.randperm(len(lengths))[: 2 * USERS]]
    train = untrained.batch_of((chosen[:USERS] - 1).clamp(min=1), n_items)
    test = untrained.batch_of(chosen[USERS:], n_items)
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
