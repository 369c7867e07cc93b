"""Filtered data sets and their splits on disk: plain values, which no reading can make run code.

What a file holds is read again only where the settings that it depends on, and the files of the
data set, are those of the run that wrote it.
"""

from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.config import Config
from recbole.data.dataset import Dataset, DIENDataset
from recbole.data.interaction import Interaction
from recbole.sampler import SeqSampler
from recbole.utils import FeatureSource, FeatureType

from recbole_genrec.cache import hash_file
from recbole_genrec.config.data_settings import dataset_files
from recbole_genrec.errors import InputError
from recbole_genrec.files import replacing
from recbole_genrec.plain import save_tensors

# What a loaded data set depends on beside the settings that RecBole lists as those of the data set.
LOADING_SETTINGS = (
    *("seed", "repeatable", "eval_args", "encoding", "numerical_features", "discretization"),
    *("kg_reverse_r", "entity_kg_num_interval", "relation_kg_num_interval"),
)
SPLITTING_SETTINGS = ("model", "history_attention")

NOT_SAVED = ("config", "logger", "seq_sampler")
_ENUMS = {"__type__": FeatureType, "__source__": FeatureSource}


def save_dataset(dataset: Dataset, path: Path) -> None:
    """Write a loaded data set, before it is split."""
    values = {name: value for name, value in vars(dataset).items() if name not in NOT_SAVED}
    _write(path, _identity(dataset.config, type(dataset)), _to_plain(values))


def read_dataset(path: Path, dataset_class: type, config: Config) -> Dataset | None:
    """Read what `save_dataset` has written; None, with a warning, if it fits `config` no longer.

    Raises:
        InputError: naming the file, when it is missing, damaged or something else.
    """
    values = _read(path, _identity(config, dataset_class), "dataset_save_path")
    if values is None:
        return None
    dataset: Dataset = object.__new__(dataset_class)
    vars(dataset).update(_from_plain(values), config=config, logger=getLogger())
    if issubclass(dataset_class, DIENDataset):
        dataset.seq_sampler = SeqSampler(dataset)
    return dataset


def save_split(parts: list[Dataset], path: Path) -> None:
    """Write which samples the parts of a split hold."""
    config = parts[0].config
    samples = [(part.inter_feat, getattr(part, "_all_samples", None)) for part in parts]
    _write(path, _identity(config, type(parts[0]), split=True), _to_plain(samples))


def read_split(path: Path, dataset: Dataset) -> list[Dataset] | None:
    """The parts of `dataset` as `save_split` wrote them; None, with a warning, if they do not fit.

    Raises:
        InputError: naming the file, when it is missing, damaged or something else.
    """
    identity = _identity(dataset.config, type(dataset), split=True)
    samples = _read(path, identity, "dataloaders_save_path")
    if samples is None:
        return None
    dataset._change_feat_format()
    dataset._drop_unused_col()
    parts = []
    for inter_feat, all_samples in _from_plain(samples):
        parts.append(dataset.copy(inter_feat))
        if all_samples is not None:
            parts[-1]._all_samples = all_samples
    return parts


def _identity(config: Config, dataset_class: type, split: bool = False) -> dict[str, Any]:
    """What the content of a file depends on."""
    keys = [*config.parameters["Dataset"], *LOADING_SETTINGS, *(SPLITTING_SETTINGS * split)]
    settings = config.as_dict()
    kind = f"{dataset_class.__name__} {'split' if split else 'whole'}"
    files = {path.name: hash_file(path) for path in dataset_files(config)}
    return {"kind": kind, **{key: settings.get(key) for key in keys}, **files}


def _write(path: Path, identity: Mapping[str, Any], content: Any) -> None:
    with replacing(path) as temporary:
        save_tensors({"saved_dataset": 1, "identity": identity, "content": content}, temporary)


def _read(path: Path, identity: Mapping[str, Any], key: str) -> Any:
    if not path.is_file():
        raise InputError(f"{key}: there is no file [{path}]")
    try:
        found = torch.load(path, weights_only=True)
        content, before = found["content"], found["identity"]
        changed = [name for name in identity if identity[name] != before.get(name)]
    except Exception as error:  # torch raises almost anything for a damaged file
        raise InputError(
            f"{key}: [{path}] is damaged or was not written by this package "
            f"({type(error).__name__}); remove it, or leave {key} out"
        ) from error
    if changed:
        getLogger().warning(
            f"{key}: [{path}] was made with other settings or files ({', '.join(changed)}) and is "
            "not used"
        )
        return None
    getLogger().info(f"Load from [{path}] ({key})")
    return content


# ---- data sets as tensors, text and numbers


def _to_plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, torch.Tensor)):
        return value
    if isinstance(value, str):
        return str(value)
    for tag, enum in _ENUMS.items():
        if isinstance(value, enum):
            return {tag: value.value}
    if isinstance(value, pd.DataFrame):
        return {"__table__": {name: _to_plain(_cells(value[name])) for name in value}}
    if isinstance(value, Interaction):
        return {"__interaction__": dict(value.interaction)}
    if isinstance(value, Mapping):
        return {_to_plain(key): _to_plain(entry) for key, entry in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biuf":
            return {"__array__": torch.tensor(value)}
        return {"__objects__": [_to_plain(entry) for entry in value]}
    if isinstance(value, (list, tuple)):
        arrays = len(value) > 0 and all(isinstance(entry, np.ndarray) for entry in value)
        if arrays and len({entry.dtype for entry in value}) == 1 and value[0].dtype.kind in "biuf":
            lengths = [len(entry) for entry in value]
            return {"__rows__": torch.tensor(np.concatenate(value)), "lengths": lengths}
        return type(value)(_to_plain(entry) for entry in value)
    raise TypeError(f"a saved data set holds plain values, found {type(value).__name__}")


def _cells(column: pd.Series) -> Any:
    return column.to_list() if column.dtype == object else column.to_numpy()


def _from_plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_from_plain(entry) for entry in value)
    if not isinstance(value, dict):
        return value
    if "__table__" in value:
        return pd.DataFrame(
            {name: _from_plain(cells) for name, cells in value["__table__"].items()}
        )
    if "__interaction__" in value:
        return Interaction(value["__interaction__"])
    if "__array__" in value:
        return value["__array__"].numpy()
    if "__objects__" in value:
        objects = np.empty(len(value["__objects__"]), dtype=object)
        objects[:] = _from_plain(value["__objects__"])
        return objects
    if "__rows__" in value:
        return np.split(value["__rows__"].numpy(), np.cumsum(value["lengths"])[:-1])
    for tag, enum in _ENUMS.items():
        if tag in value:
            return enum(value[tag])
    return {key: _from_plain(entry) for key, entry in value.items()}
