"""Comparisons of models that are really run."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from recbole_genrec import cli
from recbole_genrec.compare import compare_models, runner
from recbole_genrec.config import Config
from recbole_genrec.errors import InputError
from recbole_genrec.runs.record import load_result
from recbole_genrec.runs.recorder import recorded_run
from recbole_genrec.stopping import Stopped
from recbole_genrec.trainer.trainer import GenRecTrainer
from tests.callbacks import At, Epochs, fail
from tests.crash import crash, finish, sleep
from tests.small import LOAD_ALL, NAME, write_toy

TOY = {
    "load_col": {"inter": LOAD_ALL["inter"]},
    "topk": [3, 5],
    "valid_metric": "NDCG@5",
    "epochs": 1,
    "show_progress": False,
}


@pytest.fixture(autouse=True)
def _work_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def started(monkeypatch):
    """Runs happen in this process, quickly; the list of those that were started."""
    runs = []

    def run(arguments):
        runs.append((arguments[0], arguments[3]["seed"]))
        if arguments[0] == "ItemKNN":
            with pytest.raises(MemoryError), recorded_run(Config(*arguments)):
                raise MemoryError("the similarities do not fit")
            return "the process ended with code 1"
        runner._run(*arguments)
        return None

    monkeypatch.setattr(runner, "_run_in_own_process", run)
    return runs


@pytest.fixture
def toy(tmp_path):
    return {**TOY, "data_path": str(write_toy(tmp_path, missing=False))}


def test_what_is_missing_is_run_and_what_is_there_is_used(started, toy, capsys):
    comparison = compare_models(["Pop"], NAME, [1], config_dict=toy)
    assert started == [("Pop", 1)]
    comparison = compare_models(["Pop", "EASE"], NAME, [1, 2], config_dict=toy)
    assert started == [("Pop", 1), ("EASE", 1), ("Pop", 2), ("EASE", 2)]
    assert "[1/4] Pop, seed 1: there already" in capsys.readouterr().out
    again = compare_models(["Pop", "EASE"], NAME, [1, 2], config_dict=toy)
    assert len(started) == 4 and again == comparison
    assert [model["seeds"] for model in comparison["models"]] == [[1, 2], [1, 2]]
    # all are asked the same: leave-one-out, although these models split at random by default
    assert comparison["settings"]["eval_args"]["split"] == {"LS": "valid_and_test"}
    assert comparison["test_cases"] == [30] and comparison["failed"] == []


def test_a_model_that_fails_is_reported_and_tried_again(started, toy):
    for tries in (1, 2):
        comparison = compare_models(["ItemKNN", "Pop"], NAME, [1], config_dict=toy)
        assert [model["name"] for model in comparison["models"]] == ["Pop"]
        (failed,) = comparison["failed"]
        assert (failed["model"], failed["seed"]) == ("ItemKNN", 1)
        assert failed["error"] == "the similarities do not fit"
        assert started.count(("ItemKNN", 1)) == tries and started.count(("Pop", 1)) == 1
    with pytest.raises(InputError, match="no run ended well: ItemKNN, seed 1: the similarities"):
        compare_models(["ItemKNN"], NAME, [1], config_dict=toy)


def test_a_command_with_a_run_that_failed_ends_as_failed(monkeypatch):
    failed = [{"model": "ItemKNN", "seed": 1, "error": "too large"}]
    published = []
    monkeypatch.setattr("recbole_genrec.compare.compare_models", lambda *_: {"failed": failed})
    monkeypatch.setattr("recbole_genrec.report.publish", published.append)
    arguments = ["run", "--model_list=ItemKNN,Pop", f"--dataset={NAME}"]
    with pytest.raises(SystemExit, match="error: 1 of the runs failed .*: ItemKNN, seed 1: too la"):
        cli.main(arguments)
    failed.clear()
    cli.main(arguments)
    assert len(published) == 2


def test_an_interrupted_comparison_goes_on_where_it_stopped(started, toy, monkeypatch):
    run = runner._run_in_own_process

    def interrupted(arguments):
        if len(started) == 2:
            raise KeyboardInterrupt
        return run(arguments)

    monkeypatch.setattr(runner, "_run_in_own_process", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare_models(["Pop", "EASE"], NAME, [1, 2], config_dict=toy)
    assert started == [("Pop", 1), ("EASE", 1)]
    monkeypatch.setattr(runner, "_run_in_own_process", run)
    compare_models(["Pop", "EASE"], NAME, [1, 2], config_dict=toy)
    assert started == [("Pop", 1), ("EASE", 1), ("Pop", 2), ("EASE", 2)]


def test_an_interrupted_run_goes_on_from_its_checkpoint(started, toy, monkeypatch):
    toy |= {"epochs": 3}
    whole = {**toy, "checkpoint_dir": "whole", "results_dir": "whole"}
    (expected,) = compare_models(["BPR"], NAME, [1], config_dict=whole)["models"]
    epochs = Epochs()
    slow = At("on_epoch_start", 1, lambda: time.sleep(0.5))
    killed = At("on_valid_start", 2, fail(KeyboardInterrupt))
    monkeypatch.setattr(GenRecTrainer, "callbacks", [epochs, slow, killed])
    with pytest.raises(KeyboardInterrupt):
        compare_models(["BPR"], NAME, [1], config_dict=toy)
    (found,) = compare_models(["BPR"], NAME, [1], config_dict=toy)["models"]
    assert epochs.seen == [0, 1, 1, 2]
    assert found["test"] == expected["test"]
    assert found["minutes"]["mean"] >= 0.5 / 60  # those of the first attempt count


def test_a_run_ends_with_the_comparison_that_started_it(toy, monkeypatch):
    monkeypatch.setattr(runner, "_run", sleep)
    threading.Timer(2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(Stopped, match="stopped by SIGTERM"):
        runner._run_in_own_process(("Pop", NAME, [], toy))
    assert multiprocessing.active_children() == []


def test_ctrl_c_waits_for_the_batch_of_a_run(toy, monkeypatch):
    def interrupt():
        while not Path("under way").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(runner, "_run", finish)
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        runner._run_in_own_process(("Pop", NAME, [], toy))
    assert Path("finished").exists()


def test_mistakes_are_found_before_the_first_run(started, toy):
    with pytest.raises(InputError, match="no model named"):
        compare_models(["Pop", "TIGRE"], NAME, [1], config_dict=toy)
    with pytest.raises(InputError, match="unknown key"):
        compare_models(["Pop"], NAME, [1], config_dict={**toy, "epoch": 3})
    with pytest.raises(InputError, match="reference: expected one of Pop, EASE, found BPR"):
        compare_models(["Pop", "EASE"], NAME, [1], config_dict=toy, reference="BPR")
    assert started == []


def test_the_command_takes_a_reference(monkeypatch, capsys):
    asked = []

    def ask(*arguments):
        asked.append(arguments)
        return {"failed": []}

    monkeypatch.setattr("recbole_genrec.compare.compare_models", ask)
    monkeypatch.setattr("recbole_genrec.report.publish", lambda _: None)
    arguments = [f"--dataset={NAME}", "--seed_list=1", "--epochs=3", "--reference=EASE"]
    cli.main(["run", "--model_list=Pop,EASE", *arguments])
    assert asked == [(["Pop", "EASE"], NAME, [1], None, {"epochs": "3"}, "EASE")]
    with pytest.raises(SystemExit):
        cli.main(["run", "--model=Pop", f"--dataset={NAME}", "--reference=EASE"])
    assert "--reference belongs to --model_list" in capsys.readouterr().err


def test_a_run_has_a_process_of_its_own(toy):
    assert runner._run_in_own_process(("Pop", NAME, [], {**toy, "seed": 1})) is None
    (folder,) = Path("results").iterdir()
    assert load_result(folder)["status"] == "finished"


def test_a_run_that_dies_is_no_reason_to_stop(toy, monkeypatch):
    monkeypatch.setattr(runner, "_run", crash)
    with pytest.raises(InputError, match="Pop, seed 1: the process ended with code 9; Pop, seed 2"):
        compare_models(["Pop"], NAME, [1, 2], config_dict=toy)
