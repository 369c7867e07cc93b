"""How far the training of a tokenizer is, kept on disk to go on from after an interruption."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from logging import getLogger
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from recbole_genrec.files import replacing
from recbole_genrec.plain import save_tensors

SAVE_SECONDS = 60  # between two saves: what an interruption can lose


@dataclass
class Numbers:
    """Plain facts about the epochs so far."""

    epochs: int = 0
    loss: float = 0.0  # of the last epoch
    best: float = 0.0
    best_epoch: int = 0
    revived: int = 0  # codewords, in all epochs


class Progress:
    """The state of everything that training changes, saved now and then.

    Args:
        file: where it is kept; None keeps nothing.
        tokenizer, optimizer, scheduler, generator: what training changes.

    Attributes:
        numbers: facts about the epochs so far, which are saved with the rest.
    """

    def __init__(
        self,
        file: Path | None,
        tokenizer: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: LRScheduler,
        generator: torch.Generator,
    ) -> None:
        self.file, self.generator = file, generator
        self.parts: dict[str, Any] = {
            "tokenizer": tokenizer,
            "optimizer": optimizer,
            "scheduler": scheduler,
        }
        self.numbers = Numbers()
        self._saved = monotonic()

    def restore(self) -> bool:
        """Go back to what an earlier attempt has saved; whether there was anything."""
        if self.file is None or not self.file.exists():
            return False
        try:
            state: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises almost anything for a damaged file
            getLogger().warning(f"{self.file} is damaged ({type(error).__name__}): training anew")
            return False
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        self.numbers = Numbers(**state["numbers"])
        getLogger().info(f"Training of the tokenizer goes on after {self.numbers.epochs} epochs")
        return True

    def save(self) -> None:
        """Save everything if the last time is long enough ago."""
        if self.file is None or monotonic() - self._saved < SAVE_SECONDS:
            return
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"generator": self.generator.get_state(), "numbers": asdict(self.numbers)}
        with replacing(self.file) as temporary:
            save_tensors(state, temporary)
        self._saved = monotonic()
