"""The checkpoint files of a run: the best epoch, and where training stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from recbole_genrec.errors import InputError, RunError
from recbole_genrec.files import remove_unfinished
from recbole_genrec.runs.checkpoint import check_same_run, load_checkpoint, save_checkpoint
from recbole_genrec.runs.checkpoint_items import (
    LAST,
    best_model_file,
    held_items,
    without_items,
)
from recbole_genrec.runs.fingerprint import changed_settings, data_files, run_fingerprint

AUTO = "auto"


class Checkpointer:
    """Writes and reads `<name>.pth`, the best checkpoint, and `<name>-last.pth`, the last one.

    Both hold all that training needs to go on. Once there is a best one, the last one leaves to it
    what training does not change of the items, which may be most of the file.

    Attributes:
        best: the best checkpoint, by default named after the settings in `checkpoint_dir`.
    """

    def __init__(self, config: Any) -> None:
        self._config = config
        self._data_files = data_files(config)
        name = f"{config['model']}-{config['dataset']}-{run_fingerprint(config)}.pth"
        self.best = Path(config["checkpoint_dir"]) / name
        self._held: str | None = None  # digest of the items that the best one is known to hold

    @property
    def last(self) -> Path:
        """The last checkpoint, beside the best one."""
        return self.best.with_name(f"{self.best.stem}{LAST}{self.best.suffix}")

    def save(self, content: dict[str, Any], file: str | Path) -> None:
        """Write a checkpoint of this run, whole or not at all.

        Raises:
            RunError: when it cannot be written.
        """
        run = {"config": self._config.as_dict(), "data_files": self._data_files}
        content = {**run, **content}
        if self._held is not None and Path(file) == self.last:
            content = without_items(content, self._held)
        save_checkpoint(content, file)
        if self._held is None and Path(file) == self.best:
            self._held = held_items(content)

    def find(self, where: str) -> tuple[dict[str, Any], Path] | None:
        """The checkpoint to go on from, and its file.

        Where the last checkpoint is damaged or foreign, the best one beside it is used.

        Args:
            where: a checkpoint, or `auto` for what an earlier attempt of the same run has left.

        Returns:
            None with `auto`, when there is nothing.

        Raises:
            InputError: when there is no checkpoint of this run.
        """
        file = self.last if where == AUTO else Path(where)
        remove_unfinished(file.parent)
        if where == AUTO and not file.exists():
            getLogger().info(f"No checkpoint [{file}] of an earlier attempt: training starts anew")
            return None
        best = best_model_file(file)
        try:
            return self.load(file), file
        except InputError as error:
            if file == best or not best.exists() or not file.exists():
                raise
            getLogger().warning(f"{error}; the best checkpoint so far is used instead")
        return self.load(best), best

    def load(self, file: str | Path) -> dict[str, Any]:
        """Read a checkpoint to go on from, on the CPU; what its settings have changed is logged.

        Raises:
            InputError: when it is none of this model and data set, or not all of one.
        """
        checkpoint = load_checkpoint(file)  # random states must stay on the CPU
        check_same_run(checkpoint, self._config, file)
        if "position" not in checkpoint:
            raise InputError(f"[{file}] holds weights only, and no training to go on with")
        best = best_model_file(file)
        if checkpoint["valid_results"] and not best.exists():
            raise InputError(f"[{file}] needs the best checkpoint beside it, [{best.name}]")
        changes = changed_settings(checkpoint["config"], self._config)
        if changes:
            getLogger().warning(f"[{file}] was saved under other settings: {changes}")
        self._held = held_items(checkpoint) if best.exists() else None
        return checkpoint


@contextmanager
def training_alone(file: str | Path) -> Iterator[None]:
    """Hold the checkpoint of a run: two runs of the same settings would test each other's best.

    A process that ends, however it does, holds it no longer.

    Raises:
        RunError: when another process holds it.
    """
    file = Path(file)
    lock = FileLock(file.with_name(f".{file.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"another process trains this: it writes [{file}], where this run would keep its best "
            "epoch; wait for it, or choose another folder as checkpoint_dir"
        ) from None
    try:
        yield
    finally:
        lock.release()


def check_own(checkpoint: dict[str, Any], best_epoch: int | None, file: str | Path) -> None:
    """Refuse to test another epoch than the best one of this run.

    Raises:
        RunError: naming the file and both epochs.
    """
    counted = best_epoch is not None and best_epoch >= 0  # NCL's trainer counts none
    if counted and checkpoint["epoch"] != best_epoch:
        raise RunError(
            f"[{file}] holds epoch {checkpoint['epoch']}, and the best of this run is {best_epoch}:"
            " another process has written it; train again, with another checkpoint_dir"
        )


def check_resumable(file: str | Path, config: Any) -> None:
    """Find out before the data are read whether training can go on from `file`.

    Raises:
        InputError: when neither it nor the best one beside it is a checkpoint of this model and
            data set.
    """
    try:
        check_same_run(load_checkpoint(file, mmap=True), config, file)
    except InputError as error:
        best = best_model_file(file)
        if best == Path(file) or not best.exists():
            raise InputError(f"resume: {error}") from error
        check_resumable(best, config)
