"""The batches of each optimizer step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from recbole.data.interaction import Interaction
from torch.utils.data import DataLoader

from recbole_genrec.parallel.distributed import share_of_batches
from recbole_genrec.trainer.random_states import random_states, set_random_states


def steps_per_epoch(train_data: DataLoader, batches_per_step: int) -> int:
    """Optimizer steps of an epoch, the last of which may have fewer batches."""
    return -(-len(train_data) // batches_per_step)


def remaining_steps(
    train_data: DataLoader, batches_per_step: int, done: int, device: torch.device
) -> Iterator[list[Interaction]]:
    """The batches of each step of an epoch after the first `done`, on the host.

    Args:
        device: where the model is, whose random numbers are not to change by skipping.
    """
    before = random_states(device)
    batches = iter(share_of_batches(train_data))
    for _ in islice(batches, done * batches_per_step):
        pass
    if done:  # they were drawn again, also the random numbers in them
        set_random_states(before, device)
    while step := list(islice(batches, batches_per_step)):
        yield step
