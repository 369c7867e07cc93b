"""From the arguments of a search to its best configuration."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import optuna
import torch

from recbole_genrec.errors import InputError
from recbole_genrec.files import replacing
from recbole_genrec.parallel.distributed import launched
from recbole_genrec.parallel.launch import end_with_parent, total_processes
from recbole_genrec.registry import Registration, get_model, portable
from recbole_genrec.report.tables import render, to_csv
from recbole_genrec.tune.report import trials_table, write_best
from recbole_genrec.tune.study import close_running, open_points, opened_study, work
from recbole_genrec.tune.sweep import Sweep
from recbole_genrec.tune.trial import evaluate_checkpoint


def tune(
    model: str | None,
    dataset: str | None,
    params_file: str,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    algo: str = "exhaustive",
    max_evals: int | None = None,
    workers: int = 1,
    pruning: str = "median",
) -> dict[str, Any]:
    """Search for the hyper-parameters with the best validation, and test those.

    The search lies in `<results_dir>/tune/<model>-<dataset>-<fingerprint>`. Called again with the
    same arguments it goes on where it stopped; a larger `max_evals` adds trials.

    Args:
        model: name of a model of this package or of RecBole.
        dataset: name of the data set.
        params_file: the hyper-parameters, see `space`.
        config_file_list: YAML files for all trials, later ones override earlier ones.
        config_dict: settings for all trials; they override all files.
        algo, max_evals, pruning: see `Sweep`.
        workers: number of processes; with several GPUs in `gpu_id` they take turns on them.

    Returns:
        `folder` of the search, with `best.yaml` and `trials.csv`; of the best trial `best_params`,
        `best_valid_score` and `test_result`.

    Raises:
        InputError: for what cannot work, before any trial starts; if no trial ends well.
    """
    if workers < 1:
        raise InputError(f"workers should be at least 1, found [{workers}]")
    sweep = Sweep(
        model,
        dataset,
        params_file,
        config_file_list or (),
        config_dict or {},
        algo,
        max_evals,
        pruning,
    )
    if launched() or total_processes(sweep.config) > 1:
        raise InputError("a trial takes one process: workers, not nproc, sets how many at a time")
    with opened_study(sweep) as study:
        ended = len(sweep.points) - len(open_points(study, sweep))
        print(
            f"{len(sweep.points)} trials ({algo}), {ended} there already: {sweep.folder}",
            flush=True,
        )
        try:
            _run_trials(study, sweep, workers)
        except KeyboardInterrupt:
            print(f"interrupted: the same command goes on with {sweep.folder}", flush=True)
            raise
        return _conclude(study, sweep)


def _run_trials(study: optuna.Study, sweep: Sweep, workers: int) -> None:
    """Work until no point is open, also when workers die on the way."""
    while left := len(open_points(study, sweep)):
        if workers == 1:
            work(sweep)
        else:
            _work_together(sweep, min(workers, left))
        close_running(study)
        if len(open_points(study, sweep)) == left:
            raise RuntimeError("no worker could begin a trial; what they said stands above")


def _work_together(sweep: Sweep, workers: int) -> None:
    context = multiprocessing.get_context("spawn")
    model = portable(sweep.config.model_class)
    processes = [
        context.Process(target=_work_alone, args=(sweep, model, number, workers))
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work_alone(sweep: Sweep, model: str | Registration, number: int, workers: int) -> None:
    """Work as one of several processes, with its share of the threads and GPUs."""
    end_with_parent()
    get_model(model)  # registers one of another package here
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    gpus = str(sweep.config["gpu_id"]).split(",")
    with suppress(KeyboardInterrupt):  # the terminal tells all processes; one of them answers
        work(sweep, gpu_id=gpus[number % len(gpus)])


def _conclude(study: optuna.Study, sweep: Sweep) -> dict[str, Any]:
    """Test the best trial, and write and print what the search has found."""
    table = trials_table(study, sweep)
    with replacing(sweep.folder / "trials.csv") as temporary:
        temporary.write_text(to_csv(table), encoding="utf-8")
    print(f"\n{render(table, 'text')}", flush=True)
    try:
        best = study.best_trial
    except ValueError as error:  # Optuna: no trial is completed
        raise InputError(f"no trial ended well, see {sweep.folder / 'trials.csv'}") from error
    tested = study.user_attrs.get("tested", {})
    if tested.get("trial") != best.number:
        config = sweep.trial_config(best.params)
        result = evaluate_checkpoint(config, best.user_attrs["checkpoint"])
        tested = {"trial": best.number, "test_result": result}
        study.set_user_attr("tested", tested)
    write_best(sweep, best, tested["test_result"])
    print(f"\nTest of the best: {tested['test_result']}", flush=True)
    print(f"Its settings: --config_files={sweep.folder / 'best.yaml'}", flush=True)
    return {
        "folder": sweep.folder,
        "best_params": sweep.values(best.params),
        "best_valid_score": best.value,
        "test_result": tested["test_result"],
    }
