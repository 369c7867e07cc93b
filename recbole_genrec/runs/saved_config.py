"""The configuration of a run, made again from the settings in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

from recbole_genrec.config import Config
from recbole_genrec.config.yaml_files import parse_value
from recbole_genrec.errors import InputError
from recbole_genrec.runs.fingerprint import ENVIRONMENT_KEYS, changed_settings

# What Config works out itself.
DERIVED = {
    *("model", "dataset", "MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "valid_metric_bigger"),
    *("valid_neg_sample_args", "test_neg_sample_args"),
}


def saved_config(settings: Mapping[str, Any]) -> Config:
    """A configuration with these settings, on the devices that are here.

    Args:
        settings: those of `Config.as_dict`.

    Raises:
        InputError: when there is no such model, or the data set lies no longer where it was.
    """
    for key in ("model", "dataset", "data_path"):
        if not isinstance(settings.get(key), str):
            raise InputError(f"the checkpoint's config lacks [{key}]")
    model, dataset = settings["model"], settings["dataset"]
    places = {"data_path": str(Path(settings["data_path"]).parent)}
    defaults = Config(model, dataset, config_dict=places).as_dict()
    changed = {
        key: _given(value)
        for key, value in settings.items()
        if key not in ENVIRONMENT_KEYS | DERIVED and defaults.get(key, object()) != value
    }
    if settings.get("train_neg_sample_args", {}).get("distribution") == "none":
        changed["train_neg_sample_args"] = None
    config = Config(model, dataset, config_dict={**changed, **places, "strict_config": False})
    differences = changed_settings({**settings, "strict_config": False}, config)
    if differences:
        getLogger().warning(f"settings of the checkpoint that are others today: {differences}")
    return config


def _given(value: Any) -> Any:
    """A value as one would give it: text that reads as something else stands in quotes."""
    if isinstance(value, str) and parse_value(value) != value:
        return f'"{value}"'
    return value
