"""The checkpoints of the trainer: what they hold, what they are called, which are refused."""

from dataclasses import replace

import pytest
import torch

from recbole_genrec import __version__
from recbole_genrec.errors import InputError
from recbole_genrec.model.hooks import ModelHooks
from recbole_genrec.runs.checkpoint import load_checkpoint, save_checkpoint
from tests.callbacks import At, Killed, fail
from tests.small import new_trainer, prepare, toy_config, write_toy
from tests.trainer.popularity import SMALL, Popularity, popularity_run, popularity_trainer


def test_resume_continues_the_optimizer_the_schedule_and_the_best_result(data_path):
    settings = {**SMALL, "lr_scheduler": "linear", "warmup_ratio": 0.25, "stopping_step": 10}
    settings |= {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "shuffle": False}
    run = prepare(toy_config("SASRec", data_path, **settings, epochs=4))
    whole = new_trainer(run)
    whole.fit(run.train, run.valid)

    first = new_trainer(run)
    first.saved_model_file = str(data_path / "saved" / "first.pth")
    first.callbacks = [At("on_valid_start", 3, fail(Killed))]
    with pytest.raises(Killed):
        first.fit(run.train, run.valid)
    checkpoint = load_checkpoint(first.last_model_file)
    best = {"ndcg@5": 0.9}
    checkpoint |= {"best_valid_score": 0.9, "best_valid_result": best}
    save_checkpoint(checkpoint, first.last_model_file)

    second = new_trainer(run)
    second.resume_checkpoint(first.last_model_file)
    assert second.best_valid_score == 0.9 and second.best_valid_result == {"ndcg@5": 0.9}
    score, result = second.fit(run.train, run.valid)
    assert (score, result) == (0.9, {"ndcg@5": 0.9})  # nothing was better
    assert list(second.train_loss_dict) == [0, 1, 2, 3]
    assert second.train_loss_dict == whole.train_loss_dict
    assert second.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"]
    for mine, expected in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, expected)
    assert load_checkpoint(first.saved_model_file)["epoch"] < 2  # the best one is still there


def test_the_best_checkpoint_holds_its_own_result(data_path):
    """RecBole keeps the best result only after it has saved; a resumed run would lose it."""
    run = popularity_run(data_path)
    trainer = popularity_trainer(run)
    score, result = trainer.fit(run.train, run.valid)
    checkpoint = load_checkpoint(trainer.saved_model_file)
    assert (checkpoint["best_valid_score"], checkpoint["best_valid_result"]) == (score, result)
    assert checkpoint["epoch"] == trainer.outcome().best_epoch
    assert checkpoint["valid_results"][trainer.outcome().best_epoch] == result


def test_resuming_a_finished_run_leaves_its_checkpoint(data_path):
    run = popularity_run(data_path)
    trainer = popularity_trainer(run)
    trainer.fit(run.train, run.valid)
    again = popularity_trainer(run)
    again.resume_checkpoint(trainer.saved_model_file)
    again.fit(run.train, run.valid)
    assert load_checkpoint(trainer.saved_model_file)["epoch"] == 0
    assert again.outcome().best_epoch == 0


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model", r"model \[Other\], not of \[Popularity\]"),
        ("dataset", r"dataset \[Other\], not of \[toy\]"),
    ],
)
def test_checkpoints_of_other_runs_are_refused(data_path, key, message):
    run = popularity_run(data_path)
    trainer = popularity_trainer(run, **{key: "Other"})
    trainer.fit(run.train)
    expected = {"model": "Popularity", "dataset": "toy"}[key]
    other = popularity_trainer(run, **{key: expected})
    for use in (other.resume_checkpoint, lambda f: other.evaluate(run.test, model_file=f)):
        with pytest.raises(InputError, match=message):
            use(trainer.saved_model_file)


def test_checkpoints_of_other_data_are_refused(data_path, tmp_path):
    run = popularity_run(data_path)
    trainer = popularity_trainer(run)
    trainer.fit(run.train)
    other = popularity_trainer(popularity_run(write_toy(tmp_path / "other", missing=False)))
    message = (
        r"trained on other data: toy\.item, toy\.user .of toy in \[.*other/toy\]\) should be as"
    )
    for use in (other.resume_checkpoint, lambda f: other.evaluate([None], model_file=f)):
        with pytest.raises(InputError, match=message):
            use(trainer.saved_model_file)


def test_checkpoints_of_other_sizes_are_refused(data_path):
    run = popularity_run(data_path)
    trainer = popularity_trainer(run)
    trainer.fit(run.train)
    smaller = popularity_run(data_path, item_inter_num_interval="[6,inf)")
    with pytest.raises(InputError, match=r"does not fit [^@]*weight"):
        popularity_trainer(smaller).resume_checkpoint(trainer.saved_model_file)


def test_the_name_of_the_checkpoint_follows_from_the_settings(data_path):
    names = [
        popularity_trainer(popularity_run(data_path, **settings)).saved_model_file
        for settings in ({}, {"show_progress": False}, {"learning_rate": 0.5}, {"seed": 8})
    ]
    assert names[0] == names[1] and len(set(names)) == 3
    assert "Popularity-toy-" in names[0]


def test_hooks_of_the_model_are_called_and_its_extra_values_kept(data_path):
    class Hooked(ModelHooks, Popularity):
        def on_epoch_start(self, epoch):
            self.calls.append(("start", epoch))

        def on_epoch_end(self, epoch):
            self.calls.append(("end", epoch))

        def extra_checkpoint(self):
            return {"calls": self.calls, "table": torch.ones(2)}

        def load_extra(self, extra):
            self.calls = extra["calls"]

    run = popularity_run(data_path, epochs=2)
    trainer = popularity_trainer(run, Hooked)
    trainer.fit(run.train)
    calls = [("start", 0), ("end", 0), ("start", 1), ("end", 1)]
    assert trainer.model.calls == calls
    fresh = popularity_trainer(run, Hooked)
    fresh.evaluate(run.test, model_file=trainer.saved_model_file)
    assert fresh.model.calls == calls


def test_checkpoints_of_0_1_are_refused_in_one_line(data_path):
    """They had no format number; what version wrote others is named."""
    run = popularity_run(data_path)
    trainer = popularity_trainer(run)
    trainer.fit(run.train)
    file = trainer.saved_model_file
    for version, changes in (("0.1.0", {}), ("9.8", {"format": 99, "version": "9.8"})):
        state = {**torch.load(file, weights_only=True), **changes}
        if not changes:
            del state["format"], state["version"]
        torch.save(state, "other.pth")
        fresh = popularity_trainer(run)
        for use in (fresh.resume, lambda f, of=fresh: of.evaluate(run.test, model_file=f)):
            with pytest.raises(InputError) as caught:
                use("other.pth")
            assert str(caught.value) == (
                f"[other.pth] was written by recbole_genrec {version}, whose checkpoints this "
                f"version ({__version__}) does not read: train again, or install "
                f"recbole_genrec=={version}"
            )


def test_the_outcome_tells_what_was_trained(data_path):
    run = popularity_run(data_path, epochs=3, eval_step=2)
    trainer = popularity_trainer(run)
    score, result = trainer.fit(run.train, run.valid)
    outcome = trainer.outcome()
    assert list(outcome.train_losses) == [0, 1, 2] and outcome.steps == 3 * len(run.train)
    assert outcome.valid_results == {1: result} and outcome.best_epoch == 1
    assert outcome.earlier_seconds == 0 and outcome.objective_weights == {}
    again = popularity_trainer(run)
    again.resume(trainer.last_model_file)
    again.fit(run.train, run.valid)
    seconds = load_checkpoint(trainer.last_model_file)["seconds"]
    assert again.outcome() == replace(outcome, earlier_seconds=seconds) and seconds > 0
