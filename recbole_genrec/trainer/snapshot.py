"""What a checkpoint holds of a trainer, and how a trainer goes on from one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from recbole_genrec.errors import InputError, refuse
from recbole_genrec.runs.checkpoint import load_weights, model_state
from recbole_genrec.runs.checkpoint_items import best_model_file, digest
from recbole_genrec.trainer.faults import check_weights

if TYPE_CHECKING:
    from recbole_genrec.trainer.trainer import GenRecTrainer


def snapshot(trainer: GenRecTrainer, finished: int, random: list[dict[str, Any]]) -> dict[str, Any]:
    """Where training stands, weights and optimizers.

    Args:
        finished: the last epoch that is finished, with its validation.
        random: the random states of all ranks.

    Raises:
        InputError: when a weight has become NaN.
    """
    check_weights(trainer.model)
    return {
        **trainer.state.state_dict(finished, random),
        **model_state(trainer.model),
        "unsaved_buffers": trainer.unsaved_buffers,
        "optimizers": {name: each.state_dict() for name, each in _optimizers(trainer).items()},
        "scaler": trainer.optimizer_step.scaler.state_dict(),
    }


def go_on(trainer: GenRecTrainer, checkpoint: dict[str, Any], file: Path) -> None:
    """Put a trainer where training stood, to go on there with the next `fit`, and save beside.

    Raises:
        InputError: naming the file, when it does not fit the model or its phases.
    """
    phase = checkpoint["phase"]
    if phase >= len(trainer.phases):
        refuse(f"[{file}]", f"of one of the {len(trainer.phases)} phases", f"phase {phase + 1}")
    if phase > 0:
        trainer.enter_phase(phase)
    load_weights(trainer.model, checkpoint, file)
    _load_optimizers(trainer, checkpoint, file)
    _warn_of_other_stages(trainer, checkpoint, file)
    trainer.state.load_state_dict(checkpoint)
    trainer.checkpointer.best = best_model_file(file)
    trainer.start_epoch = checkpoint["epoch"] + 1
    if trainer.cur_step > trainer.stopping_step:  # stopped early
        trainer.start_epoch = trainer.epochs
    done = checkpoint["position"]["losses"]["steps"]
    trainer.logger.info(
        f"Checkpoint [{file}] loaded: training goes on in epoch {trainer.start_epoch}"
        + (f" after {done} batches" if done else "")
    )


def unsaved_buffers(model: nn.Module) -> dict[str, str]:
    """Hashes of what training reads and a checkpoint does not hold, such as a teacher's vectors."""
    saved = model.state_dict().keys()
    found = model.named_buffers()
    dense = {name: buffer for name, buffer in found if buffer.layout == torch.strided}
    return {name: digest(buffer) for name, buffer in dense.items() if name not in saved}


def _warn_of_other_stages(trainer: GenRecTrainer, checkpoint: dict[str, Any], file: Path) -> None:
    """What a stage makes anew, as where its cache is missing, may come out another way."""
    before, now = checkpoint.get("unsaved_buffers", {}), trainer.unsaved_buffers
    changed = [name for name in before if name in now and now[name] != before[name]]
    if changed:
        trainer.logger.warning(
            f"[{file}] was trained with another [{', '.join(changed)}], under other settings or "
            "before a teacher was made anew, which may come out differently. For the same training "
            "take along all of the checkpoint_dir, with the caches in it"
        )


def _load_optimizers(trainer: GenRecTrainer, checkpoint: dict[str, Any], file: Path) -> None:
    optimizers = _optimizers(trainer)
    try:
        for name, state in checkpoint["optimizers"].items():
            optimizers[name].load_state_dict(state)
    except (KeyError, ValueError) as error:
        raise InputError(f"[{file}] does not fit the optimizer: {error}") from error
    if checkpoint["scaler"]:
        trainer.optimizer_step.scaler.load_state_dict(checkpoint["scaler"])


def _optimizers(trainer: GenRecTrainer) -> dict[str, Optimizer]:
    """All optimizers by the attribute that holds them; some of RecBole's trainers take turns.

    `optimizer` itself may be one of the others at the moment, and is then left out.
    """
    found = {name: each for name, each in vars(trainer).items() if isinstance(each, Optimizer)}
    main = found.pop("optimizer")
    if not any(each is main for each in found.values()):
        found["optimizer"] = main
    return found
