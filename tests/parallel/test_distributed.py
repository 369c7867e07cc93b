"""Several processes give what one gives, leave what one leaves, and end together."""

import os
import signal
from time import monotonic

import numpy as np
import pytest

from recbole_genrec.compare import compare_models
from recbole_genrec.errors import InputError, RunError
from recbole_genrec.evaluator.recommendations import Recommendations
from recbole_genrec.parallel.distributed import VARIABLES
from recbole_genrec.parallel.launch import PATIENCE
from recbole_genrec.quick_start import run_recbole_genrec
from recbole_genrec.runs.checkpoint import load_checkpoint
from recbole_genrec.tune import tune
from tests.rank_cases import EXACT, case, evaluate, fail, on_ranks, run
from tests.small import NAME, toy_config, write_toy
from tests.trainer.test_resume import assert_same

TOLERANCE = 1e-5  # of losses and weights: the sums over a batch are rounded in another order
CASES = {  # with one sample in the last batch, and users for 2 and for 5 batches
    "SASRec": {"train_batch_size": 35, "eval_batch_size": 16},
    "TIGER": {"train_batch_size": 9, "eval_batch_size": 7, "history_attention": "causal"},
}


@pytest.fixture
def folder(tmp_path):
    return write_toy(tmp_path, missing=False)


def places(name):
    """Settings of a run that finds nothing of the others."""
    return {"checkpoint_dir": f"{name}/saved", "results_dir": f"{name}/results"}


def essence(result):
    """What must not depend on interruptions."""
    checkpoints = {name: load_checkpoint(result[name]) for name in ("best", "last")}
    for checkpoint in checkpoints.values():
        for name in ("config", "seconds"):  # paths and clocks
            del checkpoint[name]
    return {**result, **checkpoints, "empty shares": None, "warnings": None}


@pytest.mark.parametrize("model", CASES)
def test_as_many_processes_as_one(model, folder):
    settings = {**CASES[model], **EXACT, "valid_loss": model == "TIGER"}

    def outcome(nproc):
        found = on_ranks(nproc, run, folder, model, {**settings, **places(nproc)})
        (lists,) = (folder / str(nproc)).glob("results/*/recommendations.npz")
        return found, load_checkpoint(found["best"])["state_dict"], Recommendations.load(lists)

    alone, expected_weights, expected_lists = outcome(1)
    fixed = folder, model, settings, alone["best"]
    exact = on_ranks(1, evaluate, *fixed)
    assert set(exact[0]) == set(exact[1]) == {"unmasked", "masked"}
    for nproc in (2, 3):
        together, weights, lists = outcome(nproc)
        assert together["empty shares"] == 2 * (nproc - 1)  # in each of two epochs
        assert together["losses"] == pytest.approx(alone["losses"], rel=TOLERANCE)
        best = "best_valid_result"  # with the loss of the users of validation
        if model == "TIGER":
            assert together[best]["loss"] == pytest.approx(alone[best]["loss"], rel=1e-3)
        for name, each in expected_weights.items():
            assert (weights[name] - each).abs().max() < TOLERANCE
        for name in ("users", "targets", "histories", "popularity"):
            assert np.array_equal(getattr(lists, name), getattr(expected_lists, name))
        assert_same(lists.codes, expected_lists.codes)
        assert np.mean(lists.items == expected_lists.items) > 0.9
        # a model that is the same gives the same, to the last bit
        *found, batches = on_ranks(nproc, evaluate, *fixed)
        assert found == list(exact[:2])
        assert sum(batches) == exact[2][0] and len(batches) == nproc


def test_negatives_are_sampled_as_by_one_process(folder):
    settings = {**CASES["SASRec"], "epochs": 1, "eval_args": {"mode": "uni20"}}
    trained = on_ranks(1, run, folder, "SASRec", {**settings, "metrics": ["NDCG"]})
    fixed = folder, "SASRec", {**settings, "eval_batch_size": 50}, trained["best"]
    assert on_ranks(2, evaluate, *fixed)[0] == on_ranks(1, evaluate, *fixed)[0]


def test_one_process_goes_on_from_what_several_have_left(folder):
    settings = {**CASES["TIGER"], **EXACT, "lr_scheduler": None}  # which depends on epochs
    together = on_ranks(2, run, folder, "TIGER", {**settings, "epochs": 1})
    assert together["warnings"] == []
    more = {**settings, "epochs": 2, "resume": together["last"]}
    found = on_ranks(1, run, folder, "TIGER", more)
    assert any("2 processes have trained so far, and 1 go on" in text for text in found["warnings"])
    expected = on_ranks(1, run, folder, "TIGER", {**settings, **places("alone")})
    assert found["losses"] == pytest.approx(expected["losses"], rel=TOLERANCE)
    assert found["test_result"] == pytest.approx(expected["test_result"])


def test_a_run_that_was_interrupted_and_killed_ends_as_if_it_had_not_been(folder):
    settings = {"epochs": 3, "checkpoint_step": 2, "resume": "auto"}
    expected = on_ranks(2, run, folder, "TIGER", {**settings, **places("whole")})
    settings.update(places("stopped"))
    with pytest.raises(KeyboardInterrupt):
        on_ranks(2, run, folder, "TIGER", settings, (signal.SIGINT, os.getpid(), 3))
    with pytest.raises(RunError, match="the process of rank 1 ended by signal 9"):
        on_ranks(2, run, folder, "TIGER", settings, (signal.SIGKILL, None, 9))
    again = on_ranks(2, run, folder, "TIGER", settings)
    assert_same(essence(again), essence(expected))


def test_a_long_answer_comes_back():
    """It is longer than a pipe holds, so that its process does not end before it is read."""

    def too_late(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(60)
    try:
        assert on_ranks(2, bytes, 300_000) == bytes(300_000)
    finally:
        signal.alarm(0)


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("input", InputError, "^a setting that rank 1 does not like$"),
        ("fault", RuntimeError, "(?s)^rank 1 has failed:.*ZeroDivisionError: a fault of rank 1"),
        ("other model", RunError, "do not start from the same model"),
    ],
)
def test_one_that_fails_ends_all_with_its_error(kind, error, message, folder):
    start = monotonic()
    with pytest.raises(error, match=message):
        on_ranks(2, fail, folder, kind)
    assert monotonic() - start < PATIENCE


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nproc": 0}, r"nproc should be an integer >= 1, found \[0\]"),
        ({"nproc": "two"}, r"nproc should be an integer >= 1, found \[two\]"),
        ({"offset": -1}, r"offset should be an integer >= 0, found \[-1\]"),
        ({"world_size": "2x"}, r"world_size should be an integer or None, found \[2x\]"),
        (
            {"nproc": 2, "offset": 2, "world_size": 3},
            r"world_size should be at least offset \+ nproc \[4\].* found \[3\]",
        ),
    ],
)
def test_numbers_that_do_not_fit_are_refused(settings, message, folder):
    with pytest.raises(InputError, match=message):
        toy_config("SASRec", folder, **settings)


def test_a_model_with_its_own_way_of_training_takes_one_process(folder, monkeypatch, caplog):
    monkeypatch.chdir(folder)
    several = case("Pop", nproc=2, epochs=1, repeatable=True)
    assert "recall@5" in run_recbole_genrec("Pop", NAME, config_dict=several)["test_result"]
    assert "Pop has its own way of training, by one process" in caplog.text
    with pytest.raises(InputError, match="Pop has its own way of training"):
        run_recbole_genrec("Pop", NAME, config_dict={**several, "world_size": 4})


def test_several_processes_are_for_one_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "space").write_text("learning_rate choice [0.1, 0.2]")
    with pytest.raises(InputError, match="workers, not nproc"):
        tune("SASRec", NAME, "space", config_dict=case("SASRec", nproc=2))
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "2")
    with pytest.raises(InputError, match="torchrun starts one run"):
        compare_models(["SASRec", "BPR"], NAME)
