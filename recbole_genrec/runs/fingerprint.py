"""What makes one run another: the settings and the files on which its result depends."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_genrec.cache import hash_file
from recbole_genrec.config.data_settings import dataset_files

# Settings that say where and how loudly a run goes, not what comes out of it.
ENVIRONMENT_KEYS = {
    *("gpu_id", "use_gpu", "device", "worker", "state", "show_progress", "verbose"),
    *("data_path", "checkpoint_dir", "dataset_save_path", "dataloaders_save_path", "log_wandb"),
    *("save_dataset", "save_dataloaders", "nproc", "world_size", "offset", "ip", "port"),
    *("local_rank", "single_spec", "wandb_project", "config_files", "results_dir"),
    *("resume", "checkpoint_step"),
}
FILE_KEYS = ("_file", "_path", "_checkpoint", "_ids")  # how keys end that name a file


def run_fingerprint(config) -> str:
    """Eight letters that differ between runs with different results to be expected."""
    text = json.dumps(decisive(config.as_dict()), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def changed_settings(before: Mapping[str, Any], config) -> str:
    """In words, which settings of an earlier run `config` changes; empty if none."""
    old, new = decisive(before), decisive(config.as_dict())
    return ", ".join(
        f"{key}: [{old.get(key)}] -> [{new.get(key)}]"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )


def data_files(config) -> dict[str, str]:
    """SHA-256 of the files that a run reads: name of a file of the data set, or setting -> hash."""
    files = {path.name: path for path in dataset_files(config)}
    files |= {
        key: Path(os.path.expanduser(value))
        for key, value in config.as_dict().items()
        if isinstance(value, str) and key.endswith(FILE_KEYS) and key not in ENVIRONMENT_KEYS
    }
    return {name: hash_file(path) for name, path in files.items() if _is_file(path)}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a setting too long to be the name of a file
        return False


def decisive(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings on which the result depends."""
    return {key: value for key, value in settings.items() if key not in ENVIRONMENT_KEYS}
