"""The search itself: an Optuna study in a file, which any number of workers share.

A worker takes the first place in `Sweep.points` that nobody has taken; what the point leaves open
is drawn by a sampler of its own. So nothing is tried twice, and the k-th trial of a random search
draws the same whoever runs it and whenever. Trials that were interrupted or failed are taken up
first when the search is next begun.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from recbole_genrec.errors import InputError
from recbole_genrec.tune.sweep import Sweep
from recbole_genrec.tune.trial import run_trial


@contextmanager
def opened_study(sweep: Sweep) -> Iterator[optuna.Study]:
    """The study of a search, which nobody else opens meanwhile.

    Raises:
        InputError: when another process is at work on this search.
    """
    sweep.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(sweep.folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"another process is at work on this search: {sweep.folder}") from error
    with lock:
        _repair(sweep.journal)
        sweep.write_settings()
        study = load_study(sweep)
        close_running(study)
        _queue_failed(study, sweep)
        yield study


def load_study(sweep: Sweep) -> optuna.Study:
    """The study in its file, for one worker."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(sweep.journal)))
    pruner = optuna.pruners.NopPruner()
    if sweep.pruning == "median":
        warmup = sweep.config["epochs"] // 10
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=warmup)
    return optuna.create_study(
        storage=storage,
        study_name=sweep.folder.name,
        direction="maximize" if sweep.config["valid_metric_bigger"] else "minimize",
        pruner=pruner,
        load_if_exists=True,
    )


def latest_trials(study: optuna.Study) -> dict[int, FrozenTrial]:
    """The last attempt at every point, by the place of the point."""
    return {trial.user_attrs["point"]: trial for trial in study.get_trials(deepcopy=False)}


def open_points(study: optuna.Study, sweep: Sweep) -> list[int]:
    """The places of the points that nobody has taken, or that are to be tried again."""
    latest = latest_trials(study)
    return [
        place
        for place in range(len(sweep.points))
        if place not in latest or latest[place].state == TrialState.WAITING
    ]


def close_running(study: optuna.Study) -> None:
    """Note that trials which nobody works on any more have failed."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def work(sweep: Sweep, **settings: Any) -> None:
    """Run trials until no point is open; `settings` are those of this worker, such as `gpu_id`."""
    study = load_study(sweep)
    while (trial := _next_trial(study, sweep)) is not None:
        title = f"[{trial.user_attrs['point'] + 1}/{len(sweep.points)}]"
        values = sweep.values(trial.params)
        print(title, ", ".join(f"{key}={value}" for key, value in values.items()), flush=True)
        try:
            score = run_trial(sweep.trial_config(trial.params, **settings), trial)
        except optuna.TrialPruned as pruned:
            study.tell(trial, state=TrialState.PRUNED)
            print(f"{title} {pruned}", flush=True)
        except Exception as error:  # the others are tried all the same, and the table says why
            trial.set_user_attr("error", f"{type(error).__name__}: {error}")
            study.tell(trial, state=TrialState.FAIL)
            print(f"{title} failed: {error}", flush=True)
        else:
            study.tell(trial, score)
            print(f"{title} {sweep.config['valid_metric']} {score:.4f}", flush=True)


def _next_trial(study: optuna.Study, sweep: Sweep) -> optuna.Trial | None:
    """Take the next point and draw what it leaves open."""
    with FileLock(sweep.folder / "queue.lock"):
        places = open_points(study, sweep)
        if not places:
            return None
        if not _queue(study):
            _enqueue(study, places[0], sweep.points[places[0]])
        place = _queue(study)[0].user_attrs["point"]
        seed = (sweep.config["seed"] + 1_000_003 * place) % 2**32
        study.sampler = (
            optuna.samplers.TPESampler(seed=seed)
            if sweep.algo == "bayes"
            else optuna.samplers.RandomSampler(seed=seed)
        )
        return study.ask({p.name: p.distribution for p in sweep.space})  # off the queue


def _queue_failed(study: optuna.Study, sweep: Sweep) -> None:
    """Let trials that did not end well be tried again, with what was drawn for them."""
    for place, trial in latest_trials(study).items():
        if trial.state == TrialState.FAIL and place < len(sweep.points):
            _enqueue(study, place, {**sweep.points[place], **trial.params})


def _queue(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.WAITING,))


def _enqueue(study: optuna.Study, place: int, drawn: dict[str, Any]) -> None:
    study.enqueue_trial(drawn, user_attrs={"point": place})


def _repair(journal: Path) -> None:
    """Drop what a process that died while writing has left: half a line, its lock."""
    Path(f"{journal}.lock").unlink(missing_ok=True)
    if journal.exists():
        content = journal.read_bytes()
        os.truncate(journal, content.rfind(b"\n") + 1)
