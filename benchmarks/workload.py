"""What the benchmarks share: Amazon Beauty's history lengths, a catalogue, fair timing."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

MODEL = {  # UniGRec's T5
    "d_model": 128,
    "d_ff": 512,
    "num_heads": 4,
    "d_kv": 64,
    "num_layers": 6,
    "num_decoder_layers": 6,
    "dropout_rate": 0.1,
}
LEVELS, CODES = 4, 256  # the last level is the dedicated token that makes semantic IDs unique
VOCAB = 1 + LEVELS * CODES
NUM_ITEMS = 12_101  # in Amazon Beauty (5-core)
MAX_ITEMS = 20  # of a history
HELD_OUT = 2  # interactions of a user, for validation and test
# Beauty's users with 5, 6, ..., 22 interactions, and those with more (38 on average)
USERS = [7162, 4221, 2680, 1811, 1366, 881, 695, 558, 439]
USERS += [361, 262, 207, 213, 141, 118, 112, 117, 84]
BUSY_USERS, BUSY_MEAN = 935, 38.2
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved repetitions")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: seconds of the processor; steadier for one thread on a busy machine",
    )
    parser.add_argument(
        "--data", type=Path, help="an .inter file for the users' numbers of interactions"
    )
    return parser


def interactions(data: Path | None) -> torch.Tensor:
    """[n_users] interactions of each user: of the .inter file, else as many as in Beauty."""
    if data is not None:
        import pandas as pd

        users = pd.read_csv(data, sep="\t", usecols=["user_id:token"], dtype=str)
        return torch.tensor(users["user_id:token"].value_counts().to_numpy())
    few = torch.arange(5, 5 + len(USERS)).repeat_interleave(torch.tensor(USERS))
    first = 5 + len(USERS)
    rank = (torch.arange(BUSY_USERS) + 0.5) / BUSY_USERS  # quantiles of a shifted exponential
    busy = first - (BUSY_MEAN - first) * torch.log1p(-rank)
    return torch.cat([few, busy.long()])


def training_items(per_user: torch.Tensor) -> torch.Tensor:
    """[n_samples] history items of every training sample: one sample per prefix."""
    prefixes = per_user - HELD_OUT - 1
    end = torch.arange(int(prefixes.sum())) - (prefixes.cumsum(0) - prefixes).repeat_interleave(
        prefixes
    )
    return (end + 1).clamp(max=MAX_ITEMS)


def test_items(per_user: torch.Tensor) -> torch.Tensor:
    """[n_users] history items of every test user."""
    return (per_user - 1).clamp(max=MAX_ITEMS)


def catalogue(num_items: int = NUM_ITEMS) -> torch.Tensor:
    """[num_items + 1, LEVELS] tokens of random codes, the last one counting equal prefixes."""
    codes = torch.randint(CODES, (num_items, LEVELS - 1)) @ (CODES ** torch.arange(LEVELS - 1))
    codes, order = codes.sort(stable=True)
    opens = torch.ones_like(codes, dtype=torch.bool)
    opens[1:] = codes[1:] != codes[:-1]
    place = torch.arange(num_items)
    repeat = place - torch.where(opens, place, 0).cummax(0).values
    levels = [codes // CODES**level % CODES for level in range(LEVELS - 1)]
    tokens = torch.stack([*levels, repeat], 1) + torch.arange(LEVELS) * CODES + 1
    return torch.cat([torch.zeros(1, LEVELS, dtype=torch.long), tokens[order.argsort()]])


def seconds(
    candidates: dict[str, Callable[[], object]], rounds: int, clock: str = "wall"
) -> dict[str, float]:
    """Median seconds of each candidate, all of them run in turn in every round."""
    now = CLOCKS[clock]
    times = {name: [] for name in candidates}
    for candidate in candidates.values():
        candidate()  # warm up
    for _ in range(rounds):
        for name, candidate in candidates.items():
            start = now()
            candidate()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append(now() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def table(header: list[str], rows: list[list[str]]) -> str:
    """The rows as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
