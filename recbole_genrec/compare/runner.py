"""Run what a comparison lacks: every model with every seed, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from recbole_genrec.compare.comparison import compare
from recbole_genrec.compare.runs import failure
from recbole_genrec.config import Config
from recbole_genrec.config.yaml_files import properties_dir
from recbole_genrec.errors import InputError, RunError
from recbole_genrec.model.hooks import class_hooks
from recbole_genrec.parallel.distributed import launched
from recbole_genrec.parallel.launch import end_with_parent
from recbole_genrec.registry import Registration, portable
from recbole_genrec.runs.record import find_finished, runs_of, was_interrupted
from recbole_genrec.stopping import Stopped

Run = tuple[
    str | type | Registration | None, str, list[str], dict[str, Any]
]  # the arguments of run_recbole_genrec


def compare_models(
    model_list: Sequence[str | type],
    dataset: str,
    seed_list: Sequence[int] | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    reference: str | None = None,
) -> dict[str, Any]:
    """Train and test all models with all seeds and compare them.

    The models share `properties/comparison.yaml`, which files and settings given here override.
    Finished runs with the same settings on the same data are used again, and a run that was
    interrupted goes on from its last checkpoint. A model that fails is reported beside the others.

    Args:
        model_list: models by their names or classes.
        dataset: name of the data set.
        seed_list: seeds; by default the one of the configuration.
        config_file_list: YAML files for all models; later ones override earlier ones.
        config_dict: settings for all models.
        reference: see `compare`.

    Returns:
        the comparison, see `compare`.

    Raises:
        InputError: for settings of any model that cannot work, before the first run; if no run ends
            well.
    """
    if launched():
        raise InputError("torchrun starts one run; for several models, set nproc instead")
    files = [str(properties_dir() / "comparison.yaml"), *(config_file_list or [])]
    settings = dict(config_dict or {})
    seeds: Sequence[int | None] = seed_list or [None]
    runs = [
        (model, dataset, files, settings if seed is None else {**settings, "seed": seed})
        for seed in seeds  # seed by seed: after an interruption there is a whole table to look at
        for model in model_list
    ]
    names = [Config(*run)["model"] for run in runs[: len(model_list)]]
    if reference is not None and reference not in names:
        raise InputError(f"reference: expected one of {', '.join(names)}, found {reference}")
    outcomes = finish_runs(runs)
    comparison = compare([o for o in outcomes if isinstance(o, Path)], reference)
    return {**comparison, "failed": [o for o in outcomes if not isinstance(o, Path)]}


def finish_runs(
    runs: Sequence[Run], names: Sequence[str] | None = None
) -> list[Path | dict[str, Any]]:
    """The folder of each run when it is finished, or what is to be said of its failure.

    A finished run is used again, and one that was interrupted goes on.

    Args:
        runs: the arguments of `run_recbole_genrec` for each.
        names: what to call them on the terminal, by default their models.

    Raises:
        InputError: for settings of any run that cannot work, before the first run; if no run ends
            well.
    """
    configs = [_checked_config(run) for run in runs]  # mistakes are found before the first run
    outcomes: list[Path | dict[str, Any]] = []
    for number, (run, config) in enumerate(zip(runs, configs, strict=True)):
        name = names[number] if names else config["model"]
        title = f"[{number + 1}/{len(runs)}] {name}, seed {config['seed']}"
        outcomes.append(_finish(run, config, title))
    failed = [outcome for outcome in outcomes if not isinstance(outcome, Path)]
    if len(failed) == len(outcomes):
        raise InputError(f"no run ended well: {_said(failed)}")
    return outcomes


def check_none_failed(failed: Sequence[Mapping[str, Any]]) -> None:
    """Have a command end as one that failed, once the report on the other runs is written.

    Args:
        failed: what `compare_models` or `finish_runs` say of the runs that failed.

    Raises:
        RunError: naming the runs, if there are any.
    """
    if failed:
        raise RunError(f"{len(failed)} of the runs failed and the report lacks: {_said(failed)}")


def _said(failed: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{run['model']}, seed {run['seed']}: {run['error']}" for run in failed)


def _finish(run: Run, config: Config, title: str) -> Path | dict[str, Any]:
    """The folder of the finished run, which runs or goes on where it has to; or its failure."""
    folder = find_finished(config)
    if folder is not None:
        print(f"{title}: there already, {folder}", flush=True)
        return folder
    goes_on = was_interrupted(config)
    print(f"{title}: {'goes on' if goes_on else 'runs'}", flush=True)
    named = (portable(config.model_class), *run[1:])  # also in a process that has registered none
    error = _run_in_own_process(_resumed(named) if goes_on else named)
    folder = find_finished(config)
    if folder is not None:
        return folder
    failed = _failure(config, error)
    print(f"{title}: failed: {failed['error']}", flush=True)
    return failed


def _checked_config(run: Run) -> Config:
    config = Config(*run)
    class_hooks(config.model_class).check_config(config)
    portable(config.model_class)  # to the process of the run
    return config


def _resumed(run: Run) -> Run:
    model, dataset, files, settings = run
    return model, dataset, files, {"resume": "auto", **settings}


def _run_in_own_process(run: Run) -> str | None:
    """Run in a fresh process, so that nothing of one run can slow, crash or change another.

    Returns:
        None, or how the process ended.
    """
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(_run, *run))
    process.start()
    try:
        with _stopping_on_sigterm():
            process.join()
    except Stopped:
        raise
    except KeyboardInterrupt:  # passed on: the run finishes its batch and saves it
        os.kill(cast(int, process.pid), signal.SIGINT)
        process.join()
        raise
    finally:
        process.terminate()
        process.join()
    return f"the process ended with code {process.exitcode}" if process.exitcode else None


def _work(run: Callable[..., None], *arguments: Any) -> None:
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C reaches the parent, which passes it on
    end_with_parent()
    run(*arguments)


def _run(
    model: str | Registration, dataset: str, files: list[str], settings: dict[str, Any]
) -> None:
    from recbole_genrec.quick_start import run_recbole_genrec

    try:
        with _stopping_on_sigterm():
            run_recbole_genrec(model, dataset, files, settings)
    except (InputError, RunError) as error:
        sys.exit(f"error: {error}")
    except Stopped as stop:
        sys.exit(str(stop))


@contextmanager
def _stopping_on_sigterm() -> Iterator[None]:
    """Turn the signal into an exception, which is cleaned up after and gets into the record."""

    def stop(number: int, _: object) -> None:
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():  # only it hears of signals
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failure(config: Config, error: str | None) -> dict[str, Any]:
    """What became of a run: what it noted itself, or how its process ended."""
    runs = runs_of(config)
    if runs and runs[0]["status"] == "failed":
        return failure(runs[0])
    return {
        "model": config["model"],
        "seed": config["seed"],
        "folder": runs[0]["folder"] if runs else None,
        "error": error or "it left no finished record",
    }
