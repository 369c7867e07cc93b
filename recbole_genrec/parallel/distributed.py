"""What the processes of one run know of each other, and do together.

A process finds the others by the variables that `torchrun` and `parallel.launch` set.
Without them every function here is that of a lone process: rank 0 of 1, with nobody to wait for.

RecBole's own distribution stays off (`single_spec` is True everywhere): it needs NCCL, evaluates
users twice and adds up metrics that cannot be added.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from recbole.data.interaction import Interaction
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from recbole_genrec.errors import RunError

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
PATIENCE = timedelta(days=365)  # rank 0 may train a tokenizer or a teacher meanwhile
NO_SHARE = "_no_share"  # field of a batch that stands in for an empty one
T = TypeVar("T")

_is_joined = False  # whether the other processes take part in what is done now
_control_group: dist.ProcessGroup | None = None  # gloo; for all but gradients, with PATIENCE


class LostProcess(RunError):
    """Another process of the run has ended; that one knows why."""


def launched() -> bool:
    """Whether this process is one of several that were started for one run."""
    return all(name in os.environ for name in VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


def rank() -> int:
    """The number of this process among all, from 0."""
    return dist.get_rank() if _is_joined else 0


def world_size() -> int:
    """The number of processes on all machines."""
    return dist.get_world_size() if _is_joined else 1


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Work together with the other processes of this run, if there are any.

    Args:
        device: where the gradients are; decides between NCCL and gloo.

    Raises:
        RunError: when they do not come together.
    """
    if not launched():
        yield
        return
    global _is_joined, _control_group
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        _control_group = dist.new_group(backend="gloo", timeout=PATIENCE)
    except RuntimeError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RunError(
            f"the {os.environ['WORLD_SIZE']} processes of the run could not meet at {place} "
            f"({str(error).splitlines()[0]})"
        ) from error
    _is_joined = True
    try:
        yield
    finally:
        _is_joined = False
    dist.destroy_process_group()  # not after an error, where it could wait for what never comes


@contextmanager
def rank_0_first() -> Iterator[None]:
    """Let rank 0 do what is inside on its own; the others follow, and find the files it has left.

    Inside, nobody is together with anybody: a model that is trained here is trained by one process.
    """
    global _is_joined
    if not _is_joined:
        yield
        return
    is_first = rank() == 0
    if not is_first:
        _wait()
    _is_joined = False
    try:
        yield
    finally:
        _is_joined = True
    if is_first:
        _wait()


def gather(value: T) -> list[T]:
    """The values of all ranks, in their order, on all ranks."""
    if not _is_joined:
        return [value]
    values: list[Any] = [None] * world_size()
    with _naming_lost_process():
        dist.all_gather_object(values, value, group=_control_group)
    return values


def any_rank(flag: bool) -> bool:
    """Whether `flag` is set on any rank: the same answer on all."""
    if not _is_joined:
        return flag
    flags = torch.tensor(int(flag))
    with _naming_lost_process():
        dist.all_reduce(flags, group=_control_group)
    return bool(flags)


def gather_rows(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """All rows of all ranks, in the order of the ranks; a rank without any lacks the name."""
    if not _is_joined:
        return tensors
    parts = gather({name: tensor.cpu() for name, tensor in tensors.items()})
    names = {name: None for part in parts for name in part}  # in their order
    return {name: torch.cat([part[name] for part in parts if name in part]) for name in names}


def check_alike(model: nn.Module) -> None:
    """Refuse to train copies that differ.

    Raises:
        RunError: when the models of some ranks have other weights or semantic IDs.
    """
    if not _is_joined:
        return
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    if len(set(gather(digest.hexdigest()))) > 1:
        raise RunError(
            "the processes do not start from the same model: all machines need the same data, "
            "settings and software, and one checkpoint_dir that they share"
        )


# ---- training


def share_of_batches(loader: DataLoader) -> DataLoader:
    """The same batches in the same order, of each of them the samples of this rank.

    Where a batch has fewer samples than there are ranks, those that would have none get the first
    one, in a batch with the field `NO_SHARE`, so that they count as many steps as the others.
    """
    if not _is_joined:
        return loader
    shared = copy(loader)
    shared.collate_fn = _ShareOfBatch(loader.collate_fn, rank(), world_size())
    return shared


class _ShareOfBatch:
    def __init__(self, collate: Callable[[list], Interaction], rank: int, world_size: int) -> None:
        self.collate, self.rank, self.world_size = collate, rank, world_size

    def __call__(self, index: list) -> Interaction:
        share = index[self.rank :: self.world_size]
        batch = self.collate(share or index[:1])
        if not share:
            batch[NO_SHARE] = torch.ones(len(batch))
        return batch


def average_gradients(
    model: nn.Module, losses: Tensor | tuple[Tensor, ...], weight: int | Tensor
) -> Tensor | tuple[Tensor, ...]:
    """Bring the gradients of all ranks to their weighted mean: those of the whole batch.

    As in DistributedDataParallel, the same parameters must have gradients on all ranks.

    Args:
        model: after the backward pass.
        losses: of the samples of this rank, means over `weight` of them.
        weight: how much this rank has of the batch.

    Returns:
        the weighted means of the losses.
    """
    if not _is_joined:
        return losses
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    parts = losses if isinstance(losses, tuple) else (losses,)
    flat = [value.detach().reshape(-1) for value in (*gradients, *parts)]
    values = torch.cat([*flat, flat[-1].new_ones(1)]) * weight
    with _naming_lost_process():
        dist.all_reduce(values)
    values /= values[-1].clone()
    sizes = [gradient.numel() for gradient in gradients]
    *means, rest = values.split([*sizes, len(parts) + 1])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))
    return tuple(rest[:-1].unbind()) if isinstance(losses, tuple) else rest[0]


def agree_on_statistics(model: nn.Module) -> None:
    """Give all ranks what batch normalization on rank 0 has seen, which is what is evaluated."""
    if not _is_joined:
        return
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            for statistic in module.buffers():
                with _naming_lost_process():
                    dist.broadcast(statistic, 0)


# ---- evaluation


def share_of_users(loader: DataLoader) -> DataLoader | _ShareOfUsers:
    """A stretch of the batches, the same ones that a lone process computes.

    The ranks follow each other in the order of the batches. Every rank draws the batches before its
    own too, so that sampled negatives are the same.
    """
    if not _is_joined:
        return loader
    return _ShareOfUsers(loader)


class _ShareOfUsers:
    """A loader that gives the batches of this rank, and in all else is the one it holds."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._loader)  # RecBole asks `isinstance`, to know how to evaluate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __iter__(self) -> Iterator:
        return islice(iter(self._loader), *self._bounds())

    def __len__(self) -> int:
        start, stop = self._bounds()
        return stop - start

    def __bool__(self) -> bool:
        return True  # also where other ranks have it all

    def _bounds(self) -> tuple[int, int]:
        batches, ranks = len(self._loader), world_size()
        return -(-batches * rank() // ranks), -(-batches * (rank() + 1) // ranks)


# ---- waiting


def _wait() -> None:
    with _naming_lost_process():
        dist.barrier(group=_control_group)


@contextmanager
def _naming_lost_process() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostProcess("another process of this run has ended; it says why") from error
