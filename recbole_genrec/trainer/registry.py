"""The trainer of a model: ours, or RecBole's special one on top of GenRecTrainer."""

import recbole.trainer
from recbole.utils import ModelType

from recbole_genrec.registry import get_model
from recbole_genrec.trainer.repaired import repaired_trainer
from recbole_genrec.trainer.trainer import GenRecTrainer
from recbole_genrec.trainer.trees import TreeTrainer

_BY_TYPE = {ModelType.KNOWLEDGE: "KGTrainer", ModelType.TRADITIONAL: "TraditionalTrainer"}


def get_trainer(model_type: ModelType, model_name: str) -> type[GenRecTrainer] | type[TreeTrainer]:
    """The trainer class of a model, which is also that of the models that inherit from it."""
    trainers = vars(recbole.trainer)
    for base in get_model(model_name).__mro__:
        special = trainers.get(f"{base.__name__}Trainer")
        if special is not None and base.__module__.startswith("recbole."):
            return repaired_trainer(special)
    return repaired_trainer(trainers[_BY_TYPE.get(model_type, "Trainer")])
