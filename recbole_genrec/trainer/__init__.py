"""Training and evaluation of any model: RecBole's loop on current libraries."""

from recbole_genrec.trainer.trainer import GenRecTrainer, repaired_trainer

__all__ = ["GenRecTrainer", "repaired_trainer"]
