"""Expand a table or figure into its runs, finish those that are missing, and draw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from recbole_genrec.compare.comparison import compare
from recbole_genrec.compare.runner import Run, check_none_failed, finish_runs
from recbole_genrec.config import Config
from recbole_genrec.config.yaml_files import properties_dir
from recbole_genrec.errors import InputError, check_name
from recbole_genrec.report.figures import figure_class
from recbole_genrec.report.write import publish
from recbole_genrec.reproduce.experiments import EXPERIMENTS, Experiment, Survey
from recbole_genrec.reproduce.results import Results
from recbole_genrec.runs.fingerprint import run_fingerprint
from recbole_genrec.runs.log import start_log
from recbole_genrec.runs.record import new_folder, results_root
from recbole_genrec.trainer.checkpointer import Checkpointer


def reproduce(
    name: str,
    dataset: str,
    seed_list: Sequence[int] | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, Any] | None = None,
) -> Path:
    """Make a table or figure of a paper on a data set.

    Every row is a recipe on top of `properties/comparison.yaml`. Finished runs with the same
    settings are used again, and interrupted ones go on.

    Args:
        name: of `EXPERIMENTS`.
        dataset: name of the data set.
        seed_list: seeds; by default the one of the configuration.
        config_file_list: YAML files for all rows, which override their recipes.
        config_dict: settings for all rows, which override all files.

    Returns:
        the folder with the table or figure, its numbers and the report on the runs.

    Raises:
        InputError: for an unknown name, or settings of any row that cannot work, before the first
            run; if no run ends well.
        RunError: if some runs failed, when the table is written without them.
    """
    check_name("table or figure", name, EXPERIMENTS)
    experiment = EXPERIMENTS[name]
    figure_class()  # before any long work
    files, settings = list(config_file_list or []), dict(config_dict or {})
    failed: list[dict[str, Any]] = []
    if isinstance(experiment, Survey):
        folder = _survey(name, experiment, dataset, files, settings)
    else:
        seeds: Sequence[int | None] = seed_list or [None]
        folder, failed = _trained(name, experiment, dataset, seeds, files, settings)
    print(f"{name}: {experiment.title}, in {folder}")
    check_none_failed(failed)
    return folder


def _recipe(name: str, files: Sequence[str], sized: Sequence[str] = ()) -> list[str]:
    root = properties_dir()
    sizes = [file for stem in sized if (file := root / "model" / f"{stem}.yaml").is_file()]
    ours = [root / "comparison.yaml", root / "recipe" / f"{name}.yaml", *sizes]
    return [*map(str, ours), *files]


def _survey(name: str, survey: Survey, dataset: str, files: list[str], settings: dict) -> Path:
    config = Config(None, dataset, _recipe(survey.recipe, files), settings)
    start_log(config)
    folder = new_folder(results_root(config), f"{name}-{dataset}-{_now()}")
    print(f"\n{survey.draw(config, folder)}")
    return folder


def _trained(
    name: str,
    experiment: Experiment,
    dataset: str,
    seeds: Sequence[int | None],
    files: list[str],
    settings: dict[str, Any],
) -> tuple[Path, list[dict[str, Any]]]:
    """The folder of the table or figure, and the runs that failed."""
    runs: dict[tuple[str, int | None], Run] = {}
    for seed in seeds:  # seed by seed: after an interruption there is a whole table to look at
        for row in experiment.rows:
            own = {**settings, **(row.settings or {}), **({} if seed is None else {"seed": seed})}
            sized = [f"{model}-{dataset}" for model in row.sized_as]
            runs[row.name, seed] = (None, dataset, _recipe(row.recipe, files, sized), own)
    configs = {key: Config(*run) for key, run in runs.items()}
    _check_distinct(configs)
    outcomes = finish_runs(list(runs.values()), [row for row, _ in runs])
    done = {
        row: folder for row, folder in zip(runs, outcomes, strict=True) if isinstance(folder, Path)
    }
    names = {str(folder): row for (row, _), folder in done.items()}
    first = next(iter(names.values()))
    comparison = compare(names, first, names)
    failed = [outcome for outcome in outcomes if not isinstance(outcome, Path)]
    folder = publish({**comparison, "failed": failed})
    if experiment.draw is not None:
        checkpoints: dict[str, list[Path]] = {}
        for key in done:
            checkpoints.setdefault(key[0], []).append(Checkpointer(configs[key]).best)
        experiment.draw(Results(name, comparison, checkpoints, folder))
    return folder, failed


def _check_distinct(configs: Mapping[tuple[str, int | None], Config]) -> None:
    """Settings for all rows must leave what tells them apart."""
    rows: dict[str, str] = {}
    for (row, _), config in configs.items():
        other = rows.setdefault(run_fingerprint(config), row)
        if other != row:
            raise InputError(
                f"the rows [{other}] and [{row}] should differ, found them the same: leave out "
                "the setting that makes them so"
            )


def _now() -> str:
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
