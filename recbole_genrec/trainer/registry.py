"""The trainer of a model: ours, or RecBole's special one on top of GenRecTrainer."""

import importlib

import recbole.trainer
from recbole.utils import ModelType

from recbole_genrec.registry import get_model
from recbole_genrec.trainer.repaired import repaired_trainer

# Models whose training differs from GenRecTrainer's.
TRAINERS = {
    "UniGRec": "recbole_genrec.trainer.unigrec:UniGRecTrainer",
}

_BY_TYPE = {ModelType.KNOWLEDGE: "KGTrainer", ModelType.TRADITIONAL: "TraditionalTrainer"}


def get_trainer(model_type: ModelType, model_name: str) -> type:
    """The trainer class of a model, which is also that of the models that inherit from it."""
    for base in get_model(model_name).__mro__:
        name = base.__name__
        if name in TRAINERS:
            module, trainer = TRAINERS[name].split(":")
            return getattr(importlib.import_module(module), trainer)
        if base.__module__.startswith("recbole.") and f"{name}Trainer" in vars(recbole.trainer):
            return repaired_trainer(getattr(recbole.trainer, f"{name}Trainer"))
    return repaired_trainer(getattr(recbole.trainer, _BY_TYPE.get(model_type, "Trainer")))
