"""Searches: RecBole's files, every algorithm, interruption, several workers, what is reported."""

import csv
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
from filelock import FileLock

from recbole_genrec import cli
from recbole_genrec.compare import compare
from recbole_genrec.config.yaml_files import read_yaml
from recbole_genrec.errors import InputError
from recbole_genrec.quick_start import run_recbole_genrec
from recbole_genrec.runs.record import load_finished, load_result
from recbole_genrec.tune import command, study, tune
from recbole_genrec.tune.space import grid, read_space
from tests.conftest import REPOSITORY
from tests.documents import blocks, commands, page
from tests.small import LOAD_ALL, NAME, write_toy
from tests.tune_workers import meet_and_die

TINY = {
    "load_col": {"inter": LOAD_ALL["inter"]},
    "topk": [3, 5],
    "valid_metric": "NDCG@5",
    "epochs": 3,
    "loss_type": "CE",
    "hidden_size": 8,
    "inner_size": 8,
    "n_layers": 1,
    "n_heads": 1,
}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A toy data set with settings for a tiny SASRec; all files stay in the test's folder."""
    monkeypatch.chdir(tmp_path)
    write_toy(tmp_path)
    return {**TINY, "data_path": str(tmp_path)}


@pytest.fixture
def params(tmp_path):
    """Writes a hyper-parameter file."""

    def write(*lines: str) -> str:
        file = tmp_path / "hyper.test"
        file.write_text("\n".join(lines) + "\n")
        return str(file)

    return write


@pytest.fixture
def made_up(monkeypatch):
    """Trials that compute a score instead of training; the list of what was tried and tested."""
    tried, tested = [], []

    def install(score):
        def run_trial(config, trial):
            tried.append({name: config[name] for name in trial.params})
            trial.set_user_attr("checkpoint", "none")
            return score(config)

        def evaluate(config, checkpoint):
            tested.append(config)
            return {"ndcg@5": 0.5}

        monkeypatch.setattr(study, "run_trial", run_trial)
        monkeypatch.setattr(command, "evaluate_checkpoint", evaluate)
        return tried, tested

    return install


def trials(result: dict) -> list[dict[str, str]]:
    with open(result["folder"] / "trials.csv") as file:
        return list(csv.DictReader(file))


# ---- hyper-parameter files


def test_files_mean_what_they_mean_to_recbole(params, monkeypatch):
    file = params(
        "learning_rate loguniform -8, 0",
        "embedding_size choice [64, 96 , 128]",
        "",
        "mlp_hidden_size choice ['[64,64]',[128,128],None,True,1e-3]",
        "dropout_prob uniform 0.0,0.5",
        "n_layers quniform 1,4,1",
    )
    hyperopt = types.ModuleType("hyperopt")
    kinds = ("choice", "uniform", "loguniform", "quniform")
    hyperopt.hp = types.SimpleNamespace(
        **{kind: lambda name, *values, kind=kind: (kind, *values) for kind in kinds}
    )
    monkeypatch.setitem(sys.modules, "hyperopt", hyperopt)
    from recbole.trainer.hyper_tuning import HyperTuning

    expected = HyperTuning._build_space_from_file(file)
    space = {parameter.name: parameter for parameter in read_space(file)}
    assert list(space) == list(expected)
    for name, (kind, *values) in expected.items():
        drawn = space[name].distribution
        if kind == "choice":
            assert [space[name].setting(choice) for choice in drawn.choices] == values[0]
        elif kind == "quniform":
            assert (drawn.low, drawn.high, drawn.step) == tuple(values)
        else:
            ends = [drawn.low, drawn.high]
            ends = [math.log(end) for end in ends] if drawn.log else ends
            assert ends == pytest.approx(values)
            assert drawn.log == (kind == "loguniform")


@pytest.mark.parametrize(
    "low, high, q", [(1, 4, 1), (0.05, 0.52, 0.1), (3, 17, 4), (-0.5, 0.5, 0.25)]
)
def test_quniform_is_hyperopts(params, low, high, q):
    """hyperopt documents it as round(uniform(low, high) / q) * q."""
    (parameter,) = read_space(params(f"warmup_ratio quniform {low},{high},{q}"))
    fine = [low + (high - low) * step / 10_000 for step in range(10_001)]
    expected = sorted({round(number / q) * q for number in fine})
    found = [point["warmup_ratio"] for point in grid([parameter])]
    assert found == pytest.approx(expected)
    settings = [parameter.setting(drawn + 1e-12) for drawn in found]
    assert settings == pytest.approx(expected)
    assert all(isinstance(setting, int) == isinstance(q, int) for setting in settings)


@pytest.mark.parametrize(
    "line, message",
    [
        ("learning_rate", r"line 2: expected `name choice\|uniform.*found \[learning_rate\]"),
        ("learning_rate normal 0,1", r"line 2: expected one of choice, .*found \[normal\]"),
        ("learning_rate choice 0.1", r"line 2: expected `choice \[first,second\]`.*\[choice 0.1\]"),
        ("learning_rate choice [0.1,0.1]", r"line 2: expected `choice .*different"),
        ("learner choice [adam]", r"line 2: expected `choice .*quotes"),
        ("learner choice [__import__('os').getcwd()]", r"line 2: expected `choice"),
        ("learning_rate uniform 0.1", r"line 2: expected `uniform low,high`"),
        ("learning_rate uniform 0.2,0.1", r"line 2: .*low < high, found \[uniform 0.2,0.1\]"),
        ("learning_rate loguniform 0,9999", r"line 2: expected `loguniform"),
        ("learning_rate uniform 0,nan", r"line 2: expected `uniform"),
        ("n_layers quniform 1,4,0", r"line 2: expected `quniform .*q > 0"),
        ("n_layers quniform 1,4", r"line 2: expected `quniform low,high,q`"),
        ("hidden_size choice [16]", r"line 2: \[hidden_size\] is defined already in .*line 1"),
        ("learning_rat choice [0.1]", r"line 2: .*found \[learning_rat\]; .*\[learning_rate\]"),
        ("valid_metric choice ['MRR@5']", r"line 2: \[valid_metric\] cannot be searched"),
        ("gpu_id choice [0,1]", r"line 2: \[gpu_id\] cannot be searched"),
        ("epochs choice [5,10]", r"line 2: \[epochs\] is searched, but also given as 3"),
        (
            "learner choice ['adam','adan']",
            r"line 2: \[learner\] cannot be adan: learner should be one of",
        ),
        ("weight_decay uniform 0,1", r"line 2: .*exhaustive .*quniform, .*--algo=bayes take it"),
    ],
)
def test_mistakes_are_named_before_any_trial(settings, params, tmp_path, line, message):
    del settings["hidden_size"]
    file = params("hidden_size choice [8,16]", line)
    with pytest.raises(InputError, match=message) as caught:
        tune("SASRec", NAME, file, config_dict=settings)
    assert str(caught.value).startswith(file)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"params_file": "nowhere.test"}, r"params_file \[nowhere.test\] cannot be read"),
        ({"algo": "grid"}, r"algo should be one of exhaustive, random, bayes, found \[grid\]"),
        ({"pruning": "hard"}, r"pruning should be one of median, none, found \[hard\]"),
        ({"max_evals": 3}, r"max_evals is for algo random or bayes"),
        ({"algo": "random", "max_evals": 0}, r"max_evals should be at least 1, found \[0\]"),
        ({"workers": 0}, r"workers should be at least 1, found \[0\]"),
    ],
)
def test_wrong_arguments(settings, params, arguments, message):
    file = params("learning_rate choice [0.1,0.01]")
    with pytest.raises(InputError, match=message):
        tune("SASRec", NAME, **{"params_file": file, "config_dict": settings, **arguments})
    with pytest.raises(InputError, match=r"\[.*hyper.test\] defines no hyper-parameter"):
        tune("SASRec", NAME, params("# nothing"), config_dict=settings)


# ---- algorithms, on made-up scores


def test_the_first_command_of_the_page_searches_its_first_file(settings, made_up):
    text = page("tuning")
    first = next(line for line in commands(text) if line.startswith("recbole-genrec"))
    Path("tiger.hyper").write_text(blocks(text, "text")[0].text)
    tried, tested = made_up(lambda config: config["dropout_rate"])
    arguments = shlex.split(first.replace("ml-100k", NAME))
    cli.main([*arguments[1:], f"--data_path={settings['data_path']}"])
    assert len(tried) == 20 and len(tested) == 1


def test_exhaustive_search_tries_every_combination_once(settings, params, made_up):
    file = params("learning_rate choice [0.1,0.01]", "n_layers quniform 1,3,1")
    del settings["n_layers"]
    tried, tested = made_up(lambda config: config["learning_rate"] * config["n_layers"])
    result = tune("SASRec", NAME, file, config_dict=settings)
    pairs = [(rate, layers) for rate in (0.1, 0.01) for layers in (1, 2, 3)]
    assert [tuple(values.values()) for values in tried] == pairs
    assert all(isinstance(values["n_layers"], int) for values in tried)
    assert result["best_params"] == {"learning_rate": 0.1, "n_layers": 3}
    assert result["best_valid_score"] == pytest.approx(0.3)

    assert tune("SASRec", NAME, file, config_dict=settings) == result
    assert len(tried) == 6 and len(tested) == 1  # nothing is tried or tested again


def test_a_metric_that_is_better_when_smaller(settings, params, made_up):
    settings |= {"metrics": ["GiniIndex"], "valid_metric": "GiniIndex@5"}
    made_up(lambda config: config["learning_rate"])
    result = tune("SASRec", NAME, params("learning_rate choice [0.1,0.01]"), config_dict=settings)
    assert result["best_params"] == {"learning_rate": 0.01}
    assert [row["learning_rate"] for row in trials(result)] == ["0.01", "0.1"]


def test_random_search_draws_the_same_however_often_it_is_begun(
    settings, params, made_up, monkeypatch
):
    file = params("learning_rate loguniform -8,-1", "weight_decay uniform 0,0.5")
    search = {"algo": "random", "config_dict": settings}
    tried, _ = made_up(lambda config: config["learning_rate"])
    tune("SASRec", NAME, file, max_evals=6, **search)
    assert all(math.exp(-8) <= values["learning_rate"] <= math.exp(-1) for values in tried)
    assert all(0 <= values["weight_decay"] <= 0.5 for values in tried)
    assert len({values["learning_rate"] for values in tried}) == 6

    whole = list(tried)
    tried.clear()
    settings["results_dir"] = "elsewhere"
    tune("SASRec", NAME, file, max_evals=2, **search)
    result = tune("SASRec", NAME, file, max_evals=6, **search)
    assert tried == whole
    assert result["best_valid_score"] == max(values["learning_rate"] for values in whole)
    tune("SASRec", NAME, file, max_evals=3, **search)
    assert len(tried) == 6


def test_bayes_search_draws_where_good_trials_lie(settings, params, made_up):
    file = params("weight_decay uniform 0,1")
    tried, _ = made_up(lambda config: -((config["weight_decay"] - 0.7) ** 2))
    tune("SASRec", NAME, file, algo="bayes", max_evals=30, config_dict=settings)
    errors = [abs(values["weight_decay"] - 0.7) for values in tried]
    assert sum(errors[-10:]) / 10 < 0.29 / 2  # 0.29 on average when drawn from 0 to 1 alike


# ---- trials that train


def test_trials_are_runs_and_the_best_is_one_to_repeat(settings, params, tmp_path):
    """Scores, test and settings of the best are those of an ordinary run with best.yaml."""
    (tmp_path / "own.yaml").write_text("n_layers: 2\n")
    del settings["n_layers"]
    result = tune(
        "SASRec", NAME, params("learning_rate choice [1e-5,0.01]"), ["own.yaml"], settings
    )
    assert result["best_params"] == {"learning_rate": 0.01}
    run = run_recbole_genrec(config_file_list=[result["folder"] / "best.yaml"])
    assert run["best_valid_score"] == result["best_valid_score"]
    assert run["test_result"] == result["test_result"]
    best = read_yaml(result["folder"] / "best.yaml")
    assert best == {
        **settings,
        "model": "SASRec",
        "dataset": NAME,
        "n_layers": 2,
        "learning_rate": 0.01,
    }
    with pytest.raises(InputError, match="expected finished runs, found .*: not tested, as"):
        compare([result["folder"] / "trials"])
    trial = next((result["folder"] / "trials").iterdir())
    with pytest.raises(InputError, match="expected a run with its test, found .*: not tested"):
        load_finished(trial)
    records = [load_result(path.parent) for path in result["folder"].glob("trials/*/result.json")]
    assert {record["config"]["learning_rate"] for record in records} == {1e-5, 0.01}
    assert all(len(record["learning_curve"]) == 3 for record in records)
    assert not any("test_result" in record for record in records)
    comments = (result["folder"] / "best.yaml").read_text()
    assert f"# validation: ndcg@5 {result['best_valid_score']}\n" in comments


@pytest.mark.parametrize("pruning", ["median", "none"])
def test_a_trial_below_the_median_is_given_up(settings, params, pruning):
    file = params("learning_rate choice [0.01,0.011,0.012,0.013,0.014,1e-9]")
    result = tune("SASRec", NAME, file, config_dict=settings, pruning=pruning)
    (last,) = [row for row in trials(result) if row["Trial"] == "6"]
    (record,) = [
        record
        for record in map(load_result, result["folder"].glob("trials/*"))
        if record["config"]["learning_rate"] == 1e-9
    ]
    complete = [row for row in trials(result) if row["Outcome"] == "complete"]
    assert len(list(Path("saved").glob("*.pth"))) == len(complete)
    if pruning == "median":
        assert last["Outcome"] == "given up"
        assert record["epochs_trained"] < 3
    else:
        assert last["Outcome"] == "complete"
        assert record["epochs_trained"] == 3


def test_a_failing_trial_is_reported_beside_the_others(settings, params):
    del settings["n_heads"]
    result = tune("SASRec", NAME, params("n_heads choice [3,2]"), config_dict=settings)
    assert result["best_params"] == {"n_heads": 2}
    first, second = trials(result)
    assert (first["Outcome"], second["n_heads"]) == ("complete", "3")
    assert "not a multiple" in second["Outcome"]
    with pytest.raises(InputError, match=r"no trial ended well, see .*trials.csv"):
        tune("SASRec", NAME, params("n_heads choice [3,5]"), config_dict=settings)


# ---- interruption and company

SCRIPT = """
import json, sys
from recbole_genrec.tune import tune

if __name__ == "__main__":
    tune("SASRec", "toy", "hyper.test", config_dict=json.loads(sys.argv[1]))
"""


def test_a_killed_search_goes_on_where_it_stopped(settings, params, tmp_path):
    settings["epochs"] = 20
    params("learning_rate choice [1e-5,0.003,0.01,1e-6]")
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(settings)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    said = list(iter(process.stdout.readline, "[3/4] learning_rate=0.01\n"))
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    (journal,) = tmp_path.glob("results/tune/*/study.journal")
    with journal.open("ab") as file:
        file.write(b'{"op_code": 6, "half a li')  # as after a power cut

    result = tune("SASRec", NAME, "hyper.test", config_dict=settings)
    assert [row["Outcome"] for row in trials(result)] == ["complete"] * 4
    assert result["best_params"] == {"learning_rate": 0.01}
    rates = [
        load_result(folder)["config"]["learning_rate"]
        for folder in result["folder"].glob("trials/*")
    ]
    assert [rates.count(rate) for rate in (1e-5, 0.003, 1e-6)] == [1, 1, 1]  # none is repeated
    first = next(row for row in trials(result) if row["Trial"] == "1")
    assert f"[1/4] NDCG@5 {float(first['NDCG@5']):.4f}\n" in said


def test_ctrl_c_says_how_to_go_on(settings, params, made_up, capsys):
    def score(config):
        if config["learning_rate"] == 0.01 and len(tried) == 2:
            signal.raise_signal(signal.SIGINT)
        return config["learning_rate"]

    file = params("learning_rate choice [0.1,0.01,0.2]")
    tried, _ = made_up(score)
    with pytest.raises(KeyboardInterrupt):
        tune("SASRec", NAME, file, config_dict=settings)
    assert "interrupted: the same command goes on with results/tune/" in capsys.readouterr().out
    result = tune("SASRec", NAME, file, config_dict=settings)
    assert [values["learning_rate"] for values in tried] == [0.1, 0.01, 0.01, 0.2]
    assert result["best_params"] == {"learning_rate": 0.2}


def test_workers_share_a_search_and_outlive_one_another(settings, params, monkeypatch):
    """Both begin a trial; one dies, the other does the rest, and the next call mends the loss."""
    file = params("learning_rate choice [0.01,0.003,1e-5,1e-6]")
    monkeypatch.setattr(command, "_work_alone", meet_and_die)
    result = tune("SASRec", NAME, file, config_dict=settings, workers=2)
    outcomes = {row["Trial"]: row["Outcome"] for row in trials(result)}
    assert outcomes == {"1": "its process died", "2": "complete", "3": "complete", "4": "complete"}
    assert len(list(result["folder"].glob("trials/*"))) == 3

    result = tune("SASRec", NAME, file, config_dict=settings)
    assert [row["Outcome"] for row in trials(result)] == ["complete"] * 4
    assert result["best_params"] == {"learning_rate": 0.01}
    assert len(list(result["folder"].glob("trials/*"))) == 4


def test_one_search_at_a_time(settings, params, made_up):
    file = params("learning_rate choice [0.1,0.01]")
    made_up(lambda config: 0.1)
    result = tune("SASRec", NAME, file, config_dict=settings)
    with (
        FileLock(result["folder"] / "lock"),
        pytest.raises(
            InputError,
            match=f"another process is at work on this search: {result['folder'].parent}",
        ),
    ):
        tune("SASRec", NAME, file, config_dict=settings)
