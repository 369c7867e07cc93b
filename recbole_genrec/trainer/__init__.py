"""Training and evaluation of any model: RecBole's loop on current libraries."""

from recbole_genrec.runs.outcome import FitResult
from recbole_genrec.trainer.callbacks import TrainerCallback
from recbole_genrec.trainer.registry import get_trainer
from recbole_genrec.trainer.repaired import repaired_trainer
from recbole_genrec.trainer.trainer import GenRecTrainer

__all__ = ["FitResult", "GenRecTrainer", "TrainerCallback", "get_trainer", "repaired_trainer"]
