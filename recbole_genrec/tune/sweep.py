"""One search: its arguments, checked before anything runs, and the folder in which it lives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from recbole_genrec import __version__
from recbole_genrec.cache import hash_texts
from recbole_genrec.config import Config
from recbole_genrec.config.yaml_files import parse_value
from recbole_genrec.errors import InputError, nearest
from recbole_genrec.files import replacing
from recbole_genrec.model.hooks import class_hooks
from recbole_genrec.runs.fingerprint import ENVIRONMENT_KEYS, data_files, run_fingerprint
from recbole_genrec.runs.record import results_root
from recbole_genrec.tune.space import Parameter, grid, read_space

ALGORITHMS = ("exhaustive", "random", "bayes")
PRUNING = ("median", "none")
MAX_EVALS = 100  # RecBole's default

# Settings without which the scores of two trials could not be compared.
FIXED_KEYS = {"model", "dataset", "valid_metric", "eval_args", "strict_config"}


@dataclass
class Sweep:
    """A search for the best hyper-parameters; a plain value that workers receive a copy of.

    Attributes:
        model, dataset, config_files, settings: as for `run_recbole_genrec`.
        params_file: the hyper-parameters, see `space`.
        algo: "exhaustive" tries every combination once, "random" draws, "bayes" draws where good
            trials lie (Optuna's tree-structured Parzen estimator).
        max_evals: number of trials of "random" and "bayes".
        pruning: "median" gives up trials that are worse than the median of the others at the same
            epoch, "none" lets all end.

    Raises:
        InputError: for anything that cannot work.
    """

    model: str | None
    dataset: str | None
    params_file: str
    config_files: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    algo: str = "exhaustive"
    max_evals: int | None = None
    pruning: str = "median"

    def __post_init__(self) -> None:
        for name, known in (("algo", ALGORITHMS), ("pruning", PRUNING)):
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} should be one of {', '.join(known)}, found [{getattr(self, name)}]"
                )
        if self.max_evals is not None and self.algo == "exhaustive":
            raise InputError("max_evals is for algo random or bayes: exhaustive tries everything")
        if self.max_evals is not None and self.max_evals < 1:
            raise InputError(f"max_evals should be at least 1, found [{self.max_evals}]")
        self.points  # noqa: B018  (finds the infinite grid)
        for parameter in self.space:
            self._check(parameter)

    @cached_property
    def config(self) -> Config:
        """The configuration without hyper-parameters."""
        return self._config({})

    @cached_property
    def space(self) -> list[Parameter]:
        """The hyper-parameters that are searched."""
        return read_space(self.params_file)

    @cached_property
    def points(self) -> list[dict[str, Any]]:
        """What to try: of each trial the drawn values that are fixed beforehand."""
        if self.algo == "exhaustive":
            return grid(self.space)
        return [{}] * (self.max_evals or MAX_EVALS)

    @cached_property
    def folder(self) -> Path:
        """The folder of this search: equal settings, space, data and version, equal folder."""
        identity = {
            "version": __version__,
            "settings": run_fingerprint(self.config),
            "data": data_files(self.config),
            "space": [(parameter.name, parameter.text) for parameter in self.space],
            "algo": self.algo,
            "pruning": self.pruning,
        }
        fingerprint = hash_texts([json.dumps(identity, sort_keys=True)])[:8]
        name = f"{self.config['model']}-{self.config['dataset']}-{fingerprint}"
        return results_root(self.config) / "tune" / name

    @property
    def journal(self) -> Path:
        """The file that holds the study."""
        return self.folder / "study.journal"

    def write_settings(self) -> None:
        """Keep what the user has set, so that later edits of config files reach no trial."""
        with replacing(self._settings_file) as temporary:
            temporary.write_text(
                dump_yaml({"show_progress": False, **self.given()}), encoding="utf-8"
            )

    def given(self, drawn: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All that the user has set, with the values of a trial; what a config file can hold."""
        values = self.values(drawn or {})
        parsed = {k: parse_value(v) if isinstance(v, str) else v for k, v in values.items()}
        own = {"model": self.config["model"], "dataset": self.config["dataset"]}
        return {**self.config.external_config_dict, **parsed, **own}

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that belong to the values drawn for a trial."""
        return {p.name: p.setting(drawn[p.name]) for p in self.space if p.name in drawn}

    def trial_config(self, drawn: Mapping[str, Any], **others: Any) -> Config:
        """The configuration of a trial; its record goes into the folder of the search."""
        trials = {"results_dir": str(self.folder / "trials")}
        return Config(
            config_file_list=[str(self._settings_file)],
            config_dict={**self.values(drawn), **trials, **others},
        )

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.yaml"

    def _config(self, values: Mapping[str, Any]) -> Config:
        config = Config(
            self.model, self.dataset, list(self.config_files), {**self.settings, **values}
        )
        class_hooks(config.model_class).check_config(config)
        return config

    def _check(self, parameter: Parameter) -> None:
        """Refuse a hyper-parameter that nobody reads or whose values cannot work."""
        name, place = parameter.name, parameter.place
        known = self.config.known_keys
        if name not in known and self.config["strict_config"]:
            raise InputError(f"{place}: expected a setting, found [{name}]{nearest(name, known)}")
        if name in FIXED_KEYS | ENVIRONMENT_KEYS:
            raise InputError(
                f"{place}: [{name}] cannot be searched: expected a setting that changes a model "
                "and leaves its validation as it is"
            )
        if name in self.settings:
            raise InputError(
                f"{place}: [{name}] is searched, but also given as {self.settings[name]}"
            )
        for value in parameter.examples():
            try:
                self._config({name: value})
            except InputError as error:
                raise InputError(f"{place}: [{name}] cannot be {value}: {error}") from error


def dump_yaml(settings: Mapping[str, Any]) -> str:
    """Settings as the text of a config file."""
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
