"""The last checkpoint of a run leaves the items to the best one, and nothing is lost by it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_genrec.errors import InputError
from recbole_genrec.inference import Recommender
from recbole_genrec.quick_start import load_data_and_model, run_recbole_genrec
from recbole_genrec.runs.checkpoint import load_checkpoint, save_checkpoint
from recbole_genrec.runs.checkpoint_items import digest
from recbole_genrec.trainer import GenRecTrainer
from tests.callbacks import At, Killed, fail
from tests.small import NAME, write_toy
from tests.test_inference import SETTINGS

FIXED = {"tokens", "titles", "encoders", "reports"}


def train(folder: Path, killed_in: str, call: int) -> tuple[Path, Path]:
    """The best and the last checkpoint of a training that was killed."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(GenRecTrainer, "callbacks", [At(killed_in, call, fail(Killed))])
        run_recbole_genrec("TIGER", NAME, config_dict=settings(folder))
    last = next((folder / "checkpoint_dir").glob("*-last.pth"))
    return last.with_name(last.name.replace("-last", "")), last


def settings(folder: Path) -> dict:
    places = {name: str(folder / name) for name in ("checkpoint_dir", "results_dir")}
    return {"data_path": str(folder), **places, **SETTINGS, "epochs": 3}


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, Path]:
    """Both checkpoints of a training that was killed in its second epoch."""
    return train(write_toy(tmp_path_factory.mktemp("items")), "on_epoch_start", 2)


def answers(recommender: Recommender) -> list:
    recommender.add_items(["new"], texts=["word1 tail brand2"])
    return recommender.recommend([["i1", "i2", "new"], ["i5"]], top_k=5)


def test_before_there_is_a_best_one_the_last_one_holds_all(tmp_path):
    best, last = train(write_toy(tmp_path), "on_epoch_start", 1)
    assert not best.exists()
    assert answers(Recommender.from_checkpoint(last))


def test_then_the_items_are_held_once(killed):
    best, last = killed
    assert load_checkpoint(best)["extra"]["items"].keys() >= FIXED
    assert load_checkpoint(last)["extra"]["items"].keys().isdisjoint(FIXED)


def test_either_answers_and_takes_new_items(killed, tmp_path):
    """Nothing was trained between the two."""
    best, last = killed
    expected = answers(Recommender.from_checkpoint(best))
    assert answers(Recommender.from_checkpoint(last)) == expected
    alone = shutil.copy(best, tmp_path / "copied.pth")
    assert answers(Recommender.from_checkpoint(alone)) == expected


def test_a_last_one_alone_is_loaded_with_its_data_and_asked_to_bring_its_items(killed, tmp_path):
    best, last = killed
    alone = shutil.copy(last, tmp_path)
    model = load_data_and_model(alone)[1]
    for name, weight in load_checkpoint(last)["state_dict"].items():
        assert torch.equal(model.state_dict()[name], weight)
    message = r"is the last checkpoint of a run, and leaves the items to the best one: take that"
    with pytest.raises(InputError, match=message):
        Recommender.from_checkpoint(alone)
    renamed = shutil.copy(last, tmp_path / "renamed.pth")
    with pytest.raises(InputError, match=message):
        Recommender.from_checkpoint(renamed)
    shutil.copy(best, tmp_path)
    assert answers(Recommender.from_checkpoint(alone)) == answers(Recommender.from_checkpoint(best))


def test_a_best_one_of_another_run_is_refused(killed, tmp_path):
    best, last = killed
    other = load_checkpoint(best)
    other["extra"]["items"]["titles"][3] = "another"
    save_checkpoint(other, tmp_path / best.name)
    alone = shutil.copy(last, tmp_path)
    with pytest.raises(InputError, match=rf"{best.name}\] has other items, and is of another run"):
        Recommender.from_checkpoint(alone)


def test_training_goes_on_from_a_last_one_without_items(killed, tmp_path):
    best, last = killed
    for file in (best, last):
        shutil.copy(file, tmp_path)
    given = {**settings(last.parent.parent), "resume": str(tmp_path / last.name)}
    run_recbole_genrec("TIGER", NAME, config_dict=given)
    assert load_checkpoint(tmp_path / last.name)["epoch"] == 2
    assert answers(Recommender.from_checkpoint(tmp_path / last.name))


def test_the_digest_is_that_of_what_comes_back(tmp_path):
    value = {
        "texts": ["a", "b\ud800", None],
        "numbers": (1, np.float64(0.5), True),
        "tensors": {"": torch.eye(2, dtype=torch.bfloat16), "none": torch.empty(0, 3)},
        "array": np.arange(3),
    }
    save_checkpoint({"config": {}, "state_dict": {}, "value": value}, tmp_path / "a.pth")
    assert digest(load_checkpoint(tmp_path / "a.pth")["value"]) == digest(value)
    others = [["ab"], ["a", "b"], ["a", ["b"]], ["1"], [1], torch.ones(2), torch.ones(1, 2)]
    assert len(set(map(digest, others))) == len(others)
