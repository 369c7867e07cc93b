"""Which property files a run reads, and which settings stand in a file."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from recbole.model.abstract_recommender import AbstractRecommender

from recbole_genrec.config.yaml_files import properties_dir, read_properties
from recbole_genrec.errors import InputError
from recbole_genrec.loss.registry import LOSSES
from recbole_genrec.registry import files_beside, outside_file, registered_models
from recbole_genrec.tokenizer.base import ItemTokenizer
from recbole_genrec.tokenizer.registry import TOKENIZERS, tokenizer_class

PACKAGES = ("recbole", "recbole_genrec")  # whose files lie in our folder of properties


def properties(*names: str) -> dict[str, Any]:
    """The settings in our property files of these names, such as `items` and `tokenizer/RQVAE`."""
    root = properties_dir()
    return {key: v for n in names for key, v in read_properties(root / f"{n}.yaml").items()}


def tokenizer_defaults(tokenizer: str) -> dict[str, Any]:
    """The settings that decide which codes given embeddings get, beside `seed`."""
    files = [properties_dir() / "tokenizer" / "common.yaml", *tokenizer_files(tokenizer)]
    return {key: value for file in files for key, value in read_properties(file).items()}


def run_files(
    model_class: type,
    dataset: str,
    given: Mapping[str, Any],
    items: bool = True,
    collaborative: bool = True,
    tokens: bool = True,
) -> list[Path]:
    """The property files of a run, later ones winning.

    Args:
        model_class: the model.
        dataset: name of the data set.
        given: the user's settings, which may choose a tokenizer and a loss.
        items: whether items get embeddings or semantic IDs.
        collaborative: whether they get collaborative embeddings.
        tokens: whether they get semantic IDs.
    """
    root = properties_dir()
    common = root / "tokenizer" / "common.yaml"
    own = [
        *model_files(model_class),
        root / "dataset" / f"{dataset}.yaml",
        *model_files(model_class, f"-{dataset}"),
    ]
    chosen = ChainMap(dict(given), *map(read_properties, (*reversed(own), common)))
    files = [root / "overall.yaml"]
    if items:
        files += [root / "items.yaml"]
    if collaborative:
        files += [root / "collaborative.yaml"]
    if tokens:
        files += [common, *tokenizer_files(str(chosen.get("tokenizer")))]
    files += [*loss_files(str(chosen.get("loss"))), *own]
    return [file for file in files if file.is_file()]


def model_files(model_class: type, suffix: str = "") -> list[Path]:
    """`<model><suffix>.yaml` of a model and the models it inherits from, which come first."""
    files = (_model_file(base, suffix) for base in reversed(model_class.__mro__))
    return [file for file in files if file is not None]


def tokenizer_files(name: str) -> list[Path]:
    """The file of a tokenizer, if it is known; one from elsewhere adds to ours, its base."""
    files: list[Path] = []
    for base in tokenizer_class(name).__mro__ if name in TOKENIZERS else ():
        if issubclass(base, ItemTokenizer):
            files = [*_files("tokenizer", base.__name__, base), *files]
        if is_ours(base):
            break
    return files


def loss_files(name: str) -> list[Path]:
    """The file of a loss, if it is known and has one."""
    loss = LOSSES.get(name.lower())
    return [] if loss is None else _files("loss", name.lower(), loss)


def is_outside(file: Path) -> bool:
    """Whether a property file is none of this package."""
    return properties_dir() not in file.parents


def registered_keys() -> set[str]:
    """The settings of all models of other packages."""
    keys: set[str] = set()
    for file in (file for model in registered_models() for file in model_files(model)):
        with suppress(InputError):  # which the model itself is refused with
            keys.update(read_properties(file))
    return keys


def is_ours(cls: type) -> bool:
    """Whether a class is of this package or of RecBole."""
    return cls.__module__.partition(".")[0] in PACKAGES


def _files(kind: str, name: str, cls: type) -> list[Path]:
    if is_ours(cls):
        return [properties_dir() / kind / f"{name}.yaml"]
    return files_beside(cls, name)


def _model_file(cls: type, suffix: str) -> Path | None:
    name = f"{cls.__name__}{suffix}.yaml"
    if is_ours(cls):
        return properties_dir() / "model" / name
    if not issubclass(cls, AbstractRecommender):
        return None
    return outside_file(cls, suffix)
