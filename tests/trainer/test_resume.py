"""Training that is stopped anywhere and goes on ends as training that was not stopped."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_genrec.errors import InputError
from recbole_genrec.runs.checkpoint import load_checkpoint, save_checkpoint
from recbole_genrec.trainer import GenRecTrainer
from tests.callbacks import At, Killed, fail
from tests.killed_runs import run_in_process
from tests.resume_cases import SETTINGS
from tests.small import new_trainer, prepare, toy_config, write_toy

EPOCHS = 3


@pytest.fixture(autouse=True)
def _work_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data_path(tmp_path):
    return write_toy(tmp_path, missing=False)


def prepared(model, data_path, **settings):
    """Data and configuration of a run of one of the cases."""
    config = toy_config(model, data_path, **{"epochs": EPOCHS, **SETTINGS[model], **settings})
    return prepare(config)


def attempt(model, data_path, name, **settings):
    """A trainer that saves to `name`, and its data: what a new process makes of the settings."""
    run = prepared(model, data_path, **settings)
    trainer = new_trainer(run)
    trainer.saved_model_file = str(data_path / "saved" / f"{name}.pth")
    return trainer, run


def stopped(event, call, trainer, run, error=Killed):
    """Train until the trainer tells of an event for the `call`-th time."""
    trainer.callbacks = [At(event, call, fail(error))]
    with pytest.raises(error):
        trainer.fit(run.train, run.valid)


def outcome(trainer, run, result):
    """All that must not depend on interruptions."""
    state = {
        "fit": result,
        "test": trainer.evaluate(run.test),
        "losses": trainer.train_loss_dict,
        "valid": trainer.valid_results,
        "step": trainer.step,
        "cur_step": trainer.cur_step,
    }
    for name, file in (("best", trainer.saved_model_file), ("last", trainer.last_model_file)):
        checkpoint = load_checkpoint(file)
        for key in ("config", "best_valid_result", "seconds"):
            del checkpoint[key]
        state[name] = checkpoint
    return state


def assert_same(found, expected, place=""):
    """Bit for bit, in nested dicts and lists."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), place
        for key in expected:
            assert_same(found[key], expected[key], f"{place}/{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), place
        for n, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{place}/{n}")
    elif isinstance(expected, (torch.Tensor, np.ndarray)):
        assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected)), place
    else:
        assert found == expected, place


PLACES = {
    "SASRec": [("on_step_start", 12), ("on_valid_start", 2)],
    "BSARec": [("on_step_start", 12)],
    "SASRecOnePass": [("on_step_start", 4)],
    "SASRecRepeatBias": [("on_step_start", 9)],  # while the bias is fitted
    "BPR": [("on_step_start", 12)],
    "BERT4Rec": [("on_step_start", 12)],
    "RecVAE": [("on_step_start", 9)],
    "TIGER": [("on_step_start", 3), ("on_save", 6)],
    "DiscRec": [("on_step_start", 3), ("on_valid_start", 2)],
    "ETEGRec": [  # within each turn of the second cycle, between them, and in fine-tuning
        ("on_step_start", 13),
        ("on_epoch_start", 4),
        ("on_step_start", 18),
        ("on_valid_start", 2),
        ("on_step_start", 28),
    ],
    "LETTER": [("on_step_start", 3)],
    "EAGER": [("on_step_start", 3), ("on_valid_start", 2)],
    "RPG": [("on_step_start", 6), ("on_valid_start", 2)],
    "SemanticSASRec": [("on_step_start", 6)],
    "TIGERTokenWeighted": [("on_step_start", 12)],
    "UniGRec": [("on_step_start", 8), ("on_step_start", 25), ("on_valid_start", 4)],
}


@pytest.mark.parametrize(("model", "places"), PLACES.items(), ids=list(PLACES))
def test_stopped_training_ends_as_if_it_had_not_been(model, places, data_path):
    assert_goes_on(model, places, data_path)


def test_all_parts_of_semantic_sasrec_go_on(data_path):
    settings = {
        "item_vectors": ["own", "codes", "text", "neighbors"],
        "shared_vectors": False,
        "collision": "keep",
        "own_vector_dropout": 0.2,
        "gated": True,
        "filter_weight": 0.3,
        "contrast_weight": 0.1,
        "code_loss_weight": 0.1,
        "loss": "token_weighted",
        "recommender_distillation_weight": 0.1,
        "teacher_epochs": 1,
        "teacher_hidden_size": 8,
        "teacher_config": {"n_layers": 1, "inner_size": 8},
    }
    assert_goes_on("SemanticSASRec", [("on_step_start", 6)], data_path, **settings)


def assert_goes_on(model, places, data_path, **settings):
    """Training that is stopped at these places ends as it does without."""
    whole, run = attempt(model, data_path, "whole", **settings)
    expected = outcome(whole, run, whole.fit(run.train, run.valid))
    assert len(expected["losses"]) >= EPOCHS
    for number, (event, call) in enumerate(places):
        name, steps = f"stopped{number}", {"checkpoint_step": 3}
        trainer, run = attempt(model, data_path, name, **steps, **settings)
        stopped(event, call, trainer, run)
        again, run = attempt(model, data_path, name, **steps, **settings)
        torch.rand(number + 1), np.random.rand(), random.random()  # noise of a new process
        again.resume("auto")
        assert_same(outcome(again, run, again.fit(run.train, run.valid)), expected)


@pytest.mark.parametrize("model", ["SASRec", "TIGER", "TIGERTokenWeighted", "UniGRec", "ETEGRec"])
def test_killed_processes_end_as_one_that_was_not_killed(model, tmp_path):
    """SIGKILL at five random moments: in a step, while saving, in validation or in the test."""

    def new_run():
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        write_toy(folder, missing=False)
        return folder

    def essence(result):
        for key in ("seconds", "checkpoint"):
            del result[key]
        for file in ("best", "last"):
            for key in ("config", "seconds"):  # paths and times
                del result[file][key]
        return result

    draw = random.Random(model)
    expected = run_in_process(model, new_run())
    seconds = expected["seconds"]
    essence(expected)
    folder, kills = new_run(), 0
    while kills < 5:
        result = run_in_process(model, folder, kill_after=seconds * draw.random() / 2)
        if result is None:
            kills += 1
        else:  # it was faster
            assert_same(essence(result), expected)
            folder = new_run()
    assert_same(essence(run_in_process(model, folder)), expected)


@pytest.mark.parametrize("damage", ["truncated", "foreign", "of another model", "weights only"])
def test_the_best_checkpoint_stands_in_for_a_damaged_last_one(damage, data_path, caplog):
    whole, run = attempt("SASRec", data_path, "whole")
    expected = outcome(whole, run, whole.fit(run.train, run.valid))
    trainer, run = attempt("SASRec", data_path, "damaged")
    stopped("on_step_start", 12, trainer, run)
    last = Path(trainer.last_model_file)
    if damage == "truncated":
        last.write_bytes(last.read_bytes()[:-1000])
    elif damage == "foreign":
        torch.save({"weights": torch.zeros(1)}, last)
    else:
        checkpoint = load_checkpoint(last)
        if damage == "weights only":
            del checkpoint["position"]
        else:
            checkpoint["config"]["model"] = "Other"
        save_checkpoint(checkpoint, last)
    again, run = attempt("SASRec", data_path, "damaged")
    again.resume("auto")
    assert f"{last}]" in caplog.text and "the best checkpoint so far is used" in caplog.text
    assert again.start_epoch > 0
    assert_same(outcome(again, run, again.fit(run.train, run.valid)), expected)

    last.write_bytes(b"")
    Path(trainer.saved_model_file).write_bytes(b"")
    with pytest.raises(InputError, match=r"damaged\.pth\] is damaged"):
        attempt("SASRec", data_path, "damaged")[0].resume("auto")


def test_auto_starts_anew_where_nothing_was_saved(data_path, caplog):
    caplog.set_level("INFO")
    trainer, _ = attempt("SASRec", data_path, "new")
    trainer.resume("auto")
    assert trainer.start_epoch == 0 and "training starts anew" in caplog.text
    with pytest.raises(InputError, match=r"there is no checkpoint \[none.pth\]"):
        trainer.resume("none.pth")


def test_a_last_checkpoint_without_its_best_one_is_refused(data_path):
    trainer, run = attempt("SASRec", data_path, "lonely", epochs=1)
    trainer.fit(run.train, run.valid)
    Path(trainer.saved_model_file).unlink()
    with pytest.raises(InputError, match=r"needs the best checkpoint beside it, \[lonely.pth\]"):
        trainer.resume(trainer.last_model_file)


def test_other_settings_are_named_and_the_epoch_begins_anew(data_path, caplog):
    """After running out of memory one goes on with smaller batches."""
    trainer, run = attempt("SASRec", data_path, "first", checkpoint_step=2)
    stopped("on_step_start", 9, trainer, run)
    again, run = attempt("SASRec", data_path, "second", train_batch_size=8)
    again.resume(trainer.last_model_file)
    assert "other settings: train_batch_size: [32] -> [8]" in caplog.text
    again.fit(run.train, run.valid)
    assert "Epoch 1 begins anew" in caplog.text
    assert again.saved_model_file == trainer.saved_model_file
    assert list(again.train_loss_dict) == [0, 1, 2]


def test_training_that_has_stopped_early_is_not_trained_further(data_path, monkeypatch):
    monkeypatch.setattr(GenRecTrainer, "evaluate", lambda self, *_, **__: {"ndcg@5": -self.step})
    trainer, run = attempt("SASRec", data_path, "early", epochs=9, stopping_step=1)
    trainer.fit(run.train, run.valid)
    assert list(trainer.train_loss_dict) == [0, 1, 2]
    again, run = attempt("SASRec", data_path, "early", epochs=9, stopping_step=1)
    again.resume("auto")
    again.fit(run.train, run.valid)
    assert list(again.train_loss_dict) == [0, 1, 2] and again.step == trainer.step


def test_more_epochs_may_follow(data_path):
    trainer, run = attempt("SASRec", data_path, "short", epochs=1)
    trainer.fit(run.train, run.valid)
    again, run = attempt("SASRec", data_path, "long", epochs=3)
    again.resume(trainer.last_model_file)
    again.fit(run.train, run.valid)
    assert list(again.train_loss_dict) == [0, 1, 2]


def test_nothing_but_the_best_is_kept_if_nothing_is_to_be_saved(data_path):
    trainer, run = attempt("SASRec", data_path, "unsaved", epochs=1)
    trainer.fit(run.train, run.valid, saved=False)
    assert not Path(trainer.last_model_file).exists()
    pop, run = attempt("Pop", data_path, "pop")
    pop.fit(run.train, run.valid)
    assert not Path(pop.last_model_file).exists() and Path(pop.saved_model_file).exists()


@pytest.mark.parametrize("model", ["UniGRec", "EAGER"])
def test_another_teacher_is_told(model, data_path, caplog):
    """As where a machine without the caches makes one anew; here its learning rate differs."""
    trainer, run = attempt(model, data_path, "first", checkpoint_step=1)
    stopped("on_step_start", 3, trainer, run)
    for rate, told in ((0.001, False), (0.02, True)):
        again, run = attempt(model, data_path, "second", teacher_learning_rate=rate)
        again.resume(trainer.last_model_file)
        assert ("was trained with another" in caplog.text) is told
