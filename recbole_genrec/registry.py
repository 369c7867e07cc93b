"""Names to classes: our models, those that were registered, else RecBole's.

A model outside this package is registered by `register_model`, by an entry point of the group
`recbole_genrec.models` in the package that it lives in, or by giving its class in place of a name.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from logging import getLogger
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, overload

import recbole.model
import torch
from recbole.config import Config
from recbole.model.abstract_recommender import AbstractRecommender

from recbole_genrec.compat import RECBOLE_PROPERTIES
from recbole_genrec.errors import InputError, MissingPackage, nearest, refuse

MODELS = {
    "BSARec": "recbole_genrec.model.bsarec:BSARec",
    "BSARecRepeatBias": "recbole_genrec.model.baselines_with_repeat_bias:BSARecRepeatBias",
    "DiscRec": "recbole_genrec.model.discrec:DiscRec",
    "EAGER": "recbole_genrec.model.eager:EAGER",
    "ETEGRec": "recbole_genrec.model.etegrec:ETEGRec",
    "LETTER": "recbole_genrec.model.letter:LETTER",
    "Pop": "recbole_genrec.model.pop:Pop",  # RecBole's, repaired
    "RPG": "recbole_genrec.model.rpg:RPG",
    "SASRecOnePass": "recbole_genrec.model.sasrec_one_pass:SASRecOnePass",
    "SASRecRepeatBias": "recbole_genrec.model.baselines_with_repeat_bias:SASRecRepeatBias",
    "SemanticSASRec": "recbole_genrec.model.semantic_sasrec:SemanticSASRec",
    "TIGER": "recbole_genrec.model.tiger:TIGER",
    "TIGERTokenWeighted": "recbole_genrec.model.tiger_token_weighted:TIGERTokenWeighted",
    "TransitionGraph": "recbole_genrec.model.transition_graph:TransitionGraph",
    "UniGRec": "recbole_genrec.model.unigrec:UniGRec",
}
ENTRY_POINTS = "recbole_genrec.models"

_RECBOLE_PACKAGES = (
    "general_recommender",
    "sequential_recommender",
    "context_aware_recommender",
    "knowledge_aware_recommender",
    "exlib_recommender",
)


class Registration(NamedTuple):
    """A model of somebody else's package."""

    model: type
    properties: Path | None
    """Its YAML file, where that was named."""


_registered: dict[str, Registration] = {}
_loaded_points: dict[EntryPoint, str | None] = {}  # with what is wrong, of those that failed


@overload
def register_model(cls: type, properties: str | Path | None = None) -> type: ...
@overload
def register_model(cls: None = None, properties: str | Path | None = None) -> Callable: ...


def register_model(cls: type | None = None, properties: str | Path | None = None):
    """Make a model class known by its name, as `--model=<name>` and everywhere else.

    To be used as a function or above the class: `@register_model`, or
    `@register_model(properties="my.yaml")`. Without `properties` the settings of the class are
    those of `<name>.yaml` beside its module, or in the folder `properties` beside it, if there is
    such a file. The same class may be registered twice, and one that is defined anew, as in a
    notebook, takes the place of the former.

    Args:
        cls: a recommender of RecBole's kind.
        properties: its YAML file; a relative path starts at the folder of the module of the class.

    Returns:
        the class.

    Raises:
        InputError: if it is no recommender, its name is taken, or there is no such file.
    """
    if cls is None:
        return partial(register_model, properties=properties)
    if not (isinstance(cls, type) and issubclass(cls, AbstractRecommender)):
        refuse("model", "a name, or a class that inherits from a recommender of RecBole", cls)
    name, key = cls.__name__, _fold(cls.__name__)
    taken = {_fold(known): f"{known} of this package or of RecBole" for known in _own_names()}
    former = _registered.get(key)
    if former is not None and _place(former.model) != _place(cls):
        taken[key] = _place(former.model)
    if key in taken:
        refuse("name of a model", f"one that is free ({taken[key]} has it)", _place(cls))
    file = former.properties if former is not None and former.model is cls else None
    if properties is not None:
        folder = module_folder(cls) or Path()
        file = folder / Path(properties).expanduser()
        if not file.is_file():
            refuse(f"properties of {name}", "a YAML file", file)
    _registered[key] = Registration(cls, file)
    return cls


def registered(model_class: type) -> Registration | None:
    """What is known of a class that was registered; None for our models and RecBole's."""
    found = _registered.get(_fold(model_class.__name__))
    return found if found is not None and found.model is model_class else None


def portable(model_class: type) -> str | Registration:
    """What names a model to another process: its name, or how it was registered.

    Raises:
        InputError: if it is a class of somebody else that another process cannot import.
    """
    registration = registered(model_class)
    if registration is None:
        return model_class.__name__
    module = sys.modules.get(model_class.__module__)
    importable = module is not None and vars(module).get(model_class.__name__) is model_class
    typed_in = model_class.__module__ == "__main__" and not hasattr(module, "__file__")
    if typed_in or not importable:
        expected = "a class in a module, at its top level, so that other processes can import it"
        refuse("model", expected, _place(model_class))
    return registration


def registered_models() -> list[type]:
    """All models of other packages, those that their entry points name included."""
    _load_entry_points()
    return [registration.model for registration in _registered.values()]


def module_folder(cls: type) -> Path | None:
    """The folder of the module of a class; None for one that was typed in, as in a notebook."""
    try:
        return Path(inspect.getfile(cls)).resolve().parent
    except (TypeError, OSError):
        return None


def files_beside(cls: type, stem: str) -> list[Path]:
    """`<stem>.yaml` beside the module of a class, or in the folder `properties` beside it."""
    folder = module_folder(cls)
    if folder is None:
        return []
    files = (folder / f"{stem}.yaml", folder / "properties" / f"{stem}.yaml")
    return [file for file in files if file.is_file()][:1]


def outside_file(cls: type, suffix: str = "") -> Path | None:
    """The YAML file of a model of another package, or its `<name><suffix>.yaml`, if there is."""
    name, known = f"{cls.__name__}{suffix}", registered(cls)
    if known is not None and known.properties is not None:
        return known.properties.with_name(f"{name}.yaml") if suffix else known.properties
    return next(iter(files_beside(cls, name)), None)


def get_model(name: str | type | Registration) -> type:
    """The model class of this name, e.g. `TIGER`, `TIGER-TokenWeighted` or any of RecBole's.

    A class is registered if it is not known yet, and given back; so is what `portable` gives.

    Raises:
        InputError: when nobody has a model of this name; the nearest name is given.
    """
    if isinstance(name, Registration):
        return register_model(*name)
    if isinstance(name, type):
        if not name.__module__.startswith(("recbole.model.", "recbole_genrec.model.")):
            return register_model(name)
        name = name.__name__
    found = _known_model(name)
    if found is None:
        _load_entry_points()
        found = _known_model(name)
    if found is None:
        unknown = f"there is no model named [{name}]{nearest(name, model_names())}"
        raise InputError("; ".join([unknown, *filter(None, _loaded_points.values())]))
    return found


def _known_model(name: str) -> type | None:
    ours = MODELS.get(name.replace("-", ""))
    if ours is not None:
        module, attribute = ours.split(":")
        return getattr(importlib.import_module(module), attribute)
    registration = _registered.get(_fold(name))
    if registration is not None and registration.model.__name__ == name.replace("-", ""):
        return registration.model
    package = _recbole_modules().get(name.lower())
    if package is not None:
        with needed_packages(name):
            found = importlib.import_module(f"{package}.{name.lower()}")
        # Importing SINE turns it on for the whole process, and training takes twice as long.
        torch.autograd.set_detect_anomaly(False)
        if isinstance(vars(found).get(name), type):
            return vars(found)[name]
    return None


def build_model(config: Config, dataset) -> torch.nn.Module:
    """The model of the configuration, untrained, on its device.

    Raises:
        InputError: when it cannot be built with these settings and data.
    """
    model_class = get_model(config["model"])
    try:
        with needed_packages(config["model"]):
            return model_class(config, dataset).to(config["device"])
    except InputError:
        raise
    except Exception as error:
        name = config["model"]
        failed = f"cannot be built with these settings and data: {type(error).__name__} {error}"
        if model_class.__module__.startswith("recbole."):
            raise InputError(f"RecBole's {name} {failed}") from error
        if registered(model_class) and outside_file(model_class) is None:
            place = f"beside its module [{model_class.__module__}]"
            raise InputError(f"{name} {failed}; found no {name}.yaml {place}") from error
        raise


@contextmanager
def needed_packages(model: str) -> Iterator[None]:
    """A package that a model cannot do without, and that is not here, in one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        if isinstance(error, InputError) or error.name is None:
            raise
        package = error.name.partition(".")[0]
        raise MissingPackage(
            f"the model {model} needs the package {package}, found none (pip install {package})"
        ) from error


def model_names() -> set[str]:
    """Every model name that can be given; RecBole's are the files in its `properties/model`."""
    return {*_own_names()} | {model.__name__ for model in registered_models()}


@cache
def _own_names() -> frozenset[str]:
    recboles = (path.stem for path in (RECBOLE_PROPERTIES / "model").glob("*.yaml"))
    return frozenset({*MODELS, *recboles})


def _load_entry_points() -> None:
    """Register the models of all installed packages that name some; warn of those that fail."""
    for point in entry_points(group=ENTRY_POINTS):
        if point not in _loaded_points:
            _loaded_points[point] = None
            try:
                loaded = point.load()
                if not isinstance(loaded, ModuleType):  # a module registers its models itself
                    register_model(loaded)
            except Exception as error:  # whatever the module of somebody else raises
                _loaded_points[point] = failure = f"{_described(point)} cannot be used: {error!r}"
                getLogger().warning(failure)


def _described(point: EntryPoint) -> str:
    origin = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    return f"entry point [{point.name} = {point.value}] in {ENTRY_POINTS}{origin}"


def _fold(name: str) -> str:
    return name.replace("-", "").casefold()


def _place(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


@cache
def _recbole_modules() -> dict[str, str]:
    """Module name -> package of all of RecBole's models, found without importing them."""
    root = recbole.model.__path__[0]
    return {
        module.name: f"recbole.model.{package}"
        for package in _RECBOLE_PACKAGES
        for module in pkgutil.iter_modules([f"{root}/{package}"])
    }
