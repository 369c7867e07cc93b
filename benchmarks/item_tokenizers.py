"""Tokenizers: training time beside a DataLoader loop, k-means beside faiss.

    python -m benchmarks.item_tokenizers [--threads 2] [--rounds 5] [--items 12101 1000000]

RQVAE: one epoch of the same network, loss and batch size, ours (items resident, batches by index,
fused AdamW, no synchronization per step) beside a plain loop (DataLoader over single items, default
AdamW, `loss.item()` every step). Rounds are interleaved, medians are shown.

RQKMeans: 3 x 256 codes on 384 dims from a memory-mapped float32 file of synthetic clusters, fit and
encode, beside faiss's k-means on the residuals. Each runs in a process of its own, whose wall and
CPU seconds and peak memory are shown (cached pages of the mapped file are counted in).
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from torch.utils.data import DataLoader, TensorDataset

from recbole_genrec.tokenizer import create_tokenizer

PROPERTIES = Path(__file__).resolve().parent.parent / "properties" / "tokenizer"
ITEMS, DIM = 12101, 768  # Amazon Beauty, sentence-t5-base
KMEANS_DIM = 384
BATCH = 1024


def settings(name: str, **changes: object) -> dict:
    """The shipped settings of a tokenizer, changed."""
    config: dict = {"seed": 2020}
    for file in ("common", name):
        config |= yaml.safe_load((PROPERTIES / f"{file}.yaml").read_text())
    return config | {"tokenizer": name} | changes


def plain_epochs(rows: torch.Tensor):
    """One epoch of the loop that public RQ-VAE code uses, each time it is asked for the next."""
    model = create_tokenizer(settings("RQVAE"), DIM)
    model._start_codebooks(rows, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    loader = DataLoader(TensorDataset(rows), batch_size=BATCH, shuffle=True)
    while True:
        total = 0.0
        for (batch,) in loader:
            loss = model.loss(batch, 0.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        yield total


def our_epochs(rows: torch.Tensor, bf16: bool):
    """One epoch of `RQVAE.fit`, each time it is asked for the next."""
    model = create_tokenizer(settings("RQVAE", tokenizer_bf16=bf16), DIM)
    generator = torch.Generator().manual_seed(0)
    model._start_codebooks(rows, generator)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    scheduler = model._scheduler(optimizer, steps=1)  # constant
    while True:
        yield model._train_epoch(rows, optimizer, scheduler, 0, generator)


def rqvae(rounds: int) -> None:
    rows = torch.nn.functional.normalize(torch.randn(ITEMS, DIM), dim=1)
    loops = {
        "DataLoader loop, fp32": plain_epochs(rows),
        "ours, fp32": our_epochs(rows, bf16=False),
        "ours, bf16": our_epochs(rows, bf16=True),
    }
    times: dict[str, list[float]] = {name: [] for name in loops}
    for round_ in range(rounds + 1):
        for name, loop in loops.items():
            start = time.perf_counter()
            next(loop)
            if round_:  # the first epoch warms up
                times[name].append(time.perf_counter() - start)
    print(f"\nRQVAE, {ITEMS:,} x {DIM}, batch {BATCH}: seconds per epoch, median of {rounds}")
    slowest = statistics.median(times["DataLoader loop, fp32"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"  {name:24} {median:7.3f}   {slowest / median:5.2f}x")


def clusters(path: Path, items: int) -> None:
    """Unit vectors around 5,000 centers, written block by block."""
    generator = torch.Generator().manual_seed(1)
    centers = torch.randn(5000, KMEANS_DIM, generator=generator)
    array = np.lib.format.open_memmap(path, "w+", np.float32, (items, KMEANS_DIM))
    for start in range(0, items, 65536):
        size = min(65536, items - start)
        rows = centers[torch.randint(5000, (size,), generator=generator)]
        rows = rows + 0.7 * torch.randn(size, KMEANS_DIM, generator=generator)
        array[start : start + size] = torch.nn.functional.normalize(rows, dim=1).numpy()
    array.flush()


def our_kmeans(path: Path) -> float:
    rows = np.load(path, mmap_mode="r")
    tokenizer = create_tokenizer(settings("RQKMeans"), KMEANS_DIM).fit(rows)
    codes = tokenizer.encode(rows)
    error = 0.0
    for start in range(0, len(rows), 65536):
        decoded = tokenizer.decode(codes[start : start + 65536]).numpy()
        error += float(np.square(decoded - rows[start : start + 65536]).sum())
    return error / len(rows)


def faiss_kmeans(path: Path) -> float:
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    residual = np.array(np.load(path, mmap_mode="r"))
    for _ in range(3):
        # faiss samples 256 rows per centroid by itself
        kmeans = faiss.Kmeans(KMEANS_DIM, 256, niter=20, seed=1)
        kmeans.train(residual)
        residual -= kmeans.centroids[kmeans.index.search(residual, 1)[1][:, 0]]
    return float(np.square(residual).sum()) / len(residual)


def _in_process(function, path: Path, threads: int, results) -> None:
    torch.set_num_threads(threads)
    start, cpu_start = time.perf_counter(), time.process_time()
    error = function(path)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    results.put((seconds, cpu, peak, error))


def kmeans(items: int, threads: int) -> None:
    context = multiprocessing.get_context("spawn")
    print(f"\nRQKMeans 3 x 256, {items:,} x {KMEANS_DIM}, {threads} threads")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.npy"
        clusters(path, items)
        for name, function in (("ours", our_kmeans), ("faiss", faiss_kmeans)):
            results = context.Queue()
            worker = context.Process(target=_in_process, args=(function, path, threads, results))
            worker.start()
            seconds, cpu, peak, error = results.get()
            worker.join()
            print(
                f"  {name:8} {seconds:7.1f} s  {cpu:7.1f} CPU-s   peak {peak:5.2f} GiB   "
                f"squared error {error:.4f}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, nargs="*", default=[12101, 1_000_000])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rqvae(arguments.rounds)
    for number in arguments.items:
        kmeans(number, arguments.threads)
