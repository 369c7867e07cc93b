"""RecBole's special trainers with GenRecTrainer in the place of RecBole's Trainer."""

from functools import cache
from pathlib import Path
from typing import Any

from recbole.trainer import PretrainTrainer, Trainer

from recbole_genrec.trainer.trainer import GenRecTrainer
from recbole_genrec.trainer.trees import TreeTrainer


class GenRecPretrainTrainer(GenRecTrainer):
    """What trainers with a pre-training stage need on top; goes before RecBole's class."""

    def save_pretrained_model(self, epoch, saved_model_file) -> None:
        self._save_checkpoint(epoch, verbose=False, saved_model_file=saved_model_file)
        self.saved_model_file = saved_model_file

    def pretrain(self, train_data, verbose=True, show_progress=False):
        """Pre-train; the last epoch is saved also when `save_step` does not divide their number."""
        result = super().pretrain(train_data, verbose, show_progress)
        if self.pretrain_epochs % self.save_step and self.start_epoch < self.pretrain_epochs:
            name = f"{self.config['model']}-{self.config['dataset']}-{self.pretrain_epochs}.pth"
            self.save_pretrained_model(
                self.pretrain_epochs - 1, str(Path(self.checkpoint_dir) / name)
            )
        return result


@cache
def repaired_trainer(trainer_class: type) -> type[GenRecTrainer] | type[TreeTrainer]:
    """A trainer class of RecBole, based on GenRecTrainer.

    The class itself stays in front, so that what it does in its own way is done so.
    """
    if trainer_class is Trainer:
        return GenRecTrainer
    if not issubclass(trainer_class, Trainer):
        return _mixed(trainer_class, (TreeTrainer, trainer_class))
    bases: tuple[type, ...] = (trainer_class, GenRecTrainer)
    if issubclass(trainer_class, PretrainTrainer):
        bases = (GenRecPretrainTrainer, *bases)
    return _mixed(trainer_class, bases)


def _mixed(trainer_class: type, bases: tuple[type, ...]) -> Any:
    settings = {"__doc__": trainer_class.__doc__, "shares_batches": False}
    return type(trainer_class.__name__, bases, settings)
