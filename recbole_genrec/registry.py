"""Names to classes: our models, trainers and data sets, else RecBole's in repaired form."""

import importlib
import pkgutil
from functools import cache

import recbole.model
import recbole.trainer
import torch
from recbole.config import Config
from recbole.utils import ModelType

from recbole_genrec import compat  # noqa: F401  (what RecBole needs of the libraries around it)
from recbole_genrec.compat import RECBOLE_PROPERTIES
from recbole_genrec.errors import InputError, nearest

MODELS = {
    "Pop": "recbole_genrec.model.pop:Pop",  # RecBole's, repaired
    "TIGER": "recbole_genrec.model.tiger:TIGER",
    "TIGERTokenWeighted": "recbole_genrec.model.tiger_token_weighted:TIGERTokenWeighted",
    "UniGRec": "recbole_genrec.model.unigrec:UniGRec",
}

# Models whose training differs from GenRecTrainer's.
TRAINERS = {
    "UniGRec": "recbole_genrec.trainer.unigrec:UniGRecTrainer",
}

_RECBOLE_PACKAGES = (
    "general_recommender",
    "sequential_recommender",
    "context_aware_recommender",
    "knowledge_aware_recommender",
    "exlib_recommender",
)


def get_model(name: str) -> type:
    """The model class of this name, e.g. `TIGER`, `TIGER-TokenWeighted` or any of RecBole's.

    Raises:
        InputError: when nobody has a model of this name; the nearest name is given.
    """
    ours = MODELS.get(name.replace("-", ""))
    if ours is not None:
        return _load(ours)
    package = _recbole_modules().get(name.lower())
    if package is not None:
        module = importlib.import_module(f"{package}.{name.lower()}")
        # Importing SINE turns it on for the whole process, and training takes twice as long.
        torch.autograd.set_detect_anomaly(False)
        if isinstance(getattr(module, name, None), type):
            return getattr(module, name)
    raise InputError(f"there is no model named [{name}]{nearest(name, model_names())}")


def build_model(config: Config, dataset) -> torch.nn.Module:
    """The model of the configuration, untrained, on its device.

    Raises:
        InputError: when it cannot be built with these settings and data.
    """
    model_class = get_model(config["model"])
    try:
        return model_class(config, dataset).to(config["device"])
    except (ValueError, KeyError, AttributeError, NotImplementedError) as error:
        if isinstance(error, InputError) or not model_class.__module__.startswith("recbole."):
            raise
        raise InputError(
            f"RecBole's {config['model']} cannot be built with these settings and data: "
            f"{type(error).__name__} {error}"
        ) from error


def get_trainer(model_type: ModelType, model_name: str) -> type:
    """The trainer class of a model: ours, or RecBole's on top of GenRecTrainer."""
    from recbole_genrec.trainer import repaired_trainer

    ours = TRAINERS.get(model_name.replace("-", ""))
    if ours is not None:
        return _load(ours)
    by_type = {ModelType.KNOWLEDGE: "KGTrainer", ModelType.TRADITIONAL: "TraditionalTrainer"}
    fallback = by_type.get(model_type, "Trainer")
    name = f"{model_name}Trainer"
    return repaired_trainer(
        getattr(recbole.trainer, name if hasattr(recbole.trainer, name) else fallback)
    )


def create_dataset(config: Config):
    """Load the data set that the configuration describes, for any model."""
    from recbole_genrec.data.dataset import load_dataset

    return load_dataset(config)


def model_names() -> set[str]:
    """Every model name that can be given; RecBole's are the files in its `properties/model`."""
    return {*MODELS, *(path.stem for path in (RECBOLE_PROPERTIES / "model").glob("*.yaml"))}


def _load(entry: str) -> type:
    module, name = entry.split(":")
    return getattr(importlib.import_module(module), name)


@cache
def _recbole_modules() -> dict[str, str]:
    """Module name -> package of all of RecBole's models, found without importing them."""
    root = recbole.model.__path__[0]
    return {
        module.name: f"recbole.model.{package}"
        for package in _RECBOLE_PACKAGES
        for module in pkgutil.iter_modules([f"{root}/{package}"])
    }
