"""What a search has found: the table of its trials and the best configuration."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna.trial import FrozenTrial, TrialState

from recbole_genrec.files import replacing
from recbole_genrec.report.tables import Cell, Table
from recbole_genrec.tune.study import latest_trials
from recbole_genrec.tune.sweep import Sweep, dump_yaml

ORDER = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def trials_table(study: optuna.Study, sweep: Sweep) -> Table:
    """One row per trial, the best first, then what was given up, then what failed."""
    sign = -1 if sweep.config["valid_metric_bigger"] else 1

    def place(number_and_trial: tuple[int, FrozenTrial]) -> tuple:
        number, trial = number_and_trial
        return ORDER.index(trial.state), sign * (trial.value or 0.0), number

    ended = [(n, trial) for n, trial in latest_trials(study).items() if trial.state in ORDER]
    rows = []
    for number, trial in sorted(ended, key=place):
        values = sweep.values(trial.params)
        shown = [values.get(parameter.name) for parameter in sweep.space]
        rows.append(
            [
                Cell(str(number + 1), number + 1),
                *(Cell(_short(value), value) for value in shown),
                Cell("–" if trial.value is None else f"{trial.value:.4f}", trial.value),
                Cell(str(trial.user_attrs.get("epoch", "–")), trial.user_attrs.get("epoch")),
                _minutes(trial),
                Cell(*2 * (_outcome(trial),)),
            ]
        )
    names = [parameter.name for parameter in sweep.space]
    headings = ["Trial", *names, sweep.config["valid_metric"], "Epoch", "Minutes", "Outcome"]
    title = f"{sweep.config['model']} on {sweep.config['dataset']}, validation"
    return Table(title, headings, rows)


def write_best(sweep: Sweep, best: FrozenTrial, test_result: Mapping[str, float]) -> None:
    """Write all settings of the best trial as a file for --config_files."""
    figures = ", ".join(f"{metric} {value}" for metric, value in test_result.items())
    comment = (
        f"# Best of {len(sweep.points)} trials ({sweep.algo}), chosen by validation\n"
        f"# validation: {sweep.config['valid_metric'].lower()} {best.value}\n"
        f"# test: {figures}\n"
        f"# checkpoint: {best.user_attrs['checkpoint']}\n"
    )
    settings = dump_yaml(sweep.given(best.params))
    with replacing(sweep.folder / "best.yaml") as temporary:
        temporary.write_text(comment + settings, encoding="utf-8")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _minutes(trial: FrozenTrial) -> Cell:
    """How long the trial took by the clock."""
    if trial.duration is None:
        return Cell("–", None)
    minutes = trial.duration.total_seconds() / 60
    return Cell(f"{minutes:.1f}", minutes)


def _outcome(trial: FrozenTrial) -> str:
    if trial.state == TrialState.PRUNED:
        return "given up"
    if trial.state == TrialState.FAIL:
        return trial.user_attrs.get("error", "its process died")
    return "complete"
