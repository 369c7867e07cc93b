"""Training that is stopped anywhere and goes on ends as training that was not stopped."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole_genrec import tokenizer_stage
from recbole_genrec.data.loaders import data_preparation
from recbole_genrec.registry import create_dataset
from recbole_genrec.teacher import run_teacher_stage
from recbole_genrec.trainer import GenRecTrainer
from recbole_genrec.trainer.checkpoint import load_checkpoint
from tests.resume_cases import SETTINGS
from tests.runs import new_trainer, prepare, toy_config, write_toy

EPOCHS = 3


class Killed(BaseException):
    """The end of a process, in so far as nobody expects it."""


@pytest.fixture(autouse=True)
def _work_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tokenizer_stage, "find_spec", lambda name: None)  # no picture: slow


@pytest.fixture
def data_path(tmp_path):
    return write_toy(tmp_path, missing=False)


def prepared(model, data_path, **settings):
    """Data and configuration of a run of one of the cases."""
    config = toy_config(model, data_path, **{"epochs": EPOCHS, **SETTINGS[model], **settings})
    if model.startswith(("TIGER", "UniGRec")):
        dataset = create_dataset(config)
        dataset.tokenizer_stage = tokenizer_stage.run_tokenizer_stage(config, dataset)
        if model == "UniGRec":
            dataset.teacher_embeddings = run_teacher_stage(config, dataset)
    else:
        return prepare(config)
    train, valid, test = data_preparation(config, dataset)
    return SimpleNamespace(config=config, train=train, valid=valid, test=test)


def attempt(model, data_path, name, **settings):
    """A trainer that saves to `name`, and its data: what a new process makes of the settings."""
    run = prepared(model, data_path, **settings)
    trainer = new_trainer(run)
    trainer.saved_model_file = str(data_path / "saved" / f"{name}.pth")
    return trainer, run


def stopped(monkeypatch, method, call, trainer, run, error=Killed):
    """Train until `method` of the trainer is called for the `call`-th time."""
    calls = []
    original = getattr(GenRecTrainer, method)

    def counted(self, *args, **kwargs):
        calls.append(None)
        if self is trainer and len(calls) == call:
            raise error
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(GenRecTrainer, method, counted)
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
        for key in ("config", "best_valid_result"):
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
    "SASRec": [("_train_step", 12), ("_valid_epoch", 2)],
    "BPR": [("_train_step", 12)],
    "BERT4Rec": [("_train_step", 12)],
    "RecVAE": [("_train_step", 9)],
    "TIGER": [("_train_step", 3), ("_save_checkpoint", 6)],
    "TIGERTokenWeighted": [("_train_step", 12)],
    "UniGRec": [("_train_step", 8), ("_train_step", 25), ("_valid_epoch", 4)],
}


@pytest.mark.parametrize(("model", "places"), PLACES.items(), ids=list(PLACES))
def test_stopped_training_ends_as_if_it_had_not_been(model, places, data_path, monkeypatch):
    whole, run = attempt(model, data_path, "whole")
    expected = outcome(whole, run, whole.fit(run.train, run.valid))
    assert len(expected["losses"]) >= EPOCHS
    for number, (method, call) in enumerate(places):
        trainer, run = attempt(model, data_path, f"stopped{number}", checkpoint_step=3)
        stopped(monkeypatch, method, call, trainer, run)
        again, run = attempt(model, data_path, f"stopped{number}", checkpoint_step=3)
        torch.rand(number + 1), np.random.rand(), random.random()  # noise of a new process
        again.resume("auto")
        assert_same(outcome(again, run, again.fit(run.train, run.valid)), expected)
