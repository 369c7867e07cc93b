"""What TensorBoard and Weights & Biases get to see."""

import sys
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.small import new_trainer, write_toy
from tests.trainer.test_resume import prepared


class FakeWandb(SimpleNamespace):
    """The calls of RecBole's WandbLogger, and nothing else."""

    def __init__(self):
        super().__init__(__spec__=ModuleSpec("wandb", None), run=None, logged=[], axes={})

    def init(self, project, config):
        self.project, self.run = project, SimpleNamespace(summary={})

    def define_metric(self, name, step_metric):
        self.axes[name] = step_metric

    def log(self, metrics, commit):
        self.logged.append(metrics)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A trainer after two epochs of a mixture of objectives, its results, and what W&B got."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", wandb := FakeWandb())
    settings = {"epochs": 2, "log_wandb": True, "wandb_project": "toys", "curriculum_rate": 0.01}
    run = prepared("TIGERTokenWeighted", write_toy(tmp_path, missing=False), **settings)
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    return trainer, trainer.evaluate(run.test), wandb


def test_tensorboard_gets_losses_scores_and_the_shares_of_objectives(trained):
    trainer, *_ = trained
    trainer.tensorboard.flush()
    events = EventAccumulator(trainer.tensorboard.log_dir)
    events.Reload()

    def curve(tag):
        return {event.step: pytest.approx(event.value, rel=1e-6) for event in events.Scalars(tag)}

    assert trainer.train_loss_dict == curve("Loss/Train")
    scores = {epoch: result["ndcg@5"] for epoch, result in trainer.valid_results.items()}
    assert scores == curve("Vaild_score")  # as RecBole spells it
    for name in ("front_greater", "frequency", "cross_entropy"):
        weights = trainer.outcome().objective_weights
        shares = {steps: weights[steps][name] for steps in (trainer.step // 2, trainer.step)}
        assert shares == curve(f"Objective/{name}")  # of both epochs


def test_wandb_gets_losses_and_metrics(trained):
    trainer, test_result, wandb = trained
    assert wandb.project == "toys"
    assert wandb.axes == {"train/*": "train_step", "valid/*": "valid_step"}
    train = [entry for entry in wandb.logged if "train_step" in entry]
    valid = [entry for entry in wandb.logged if "valid_step" in entry]
    losses = {entry["train_step"]: entry["train/train_loss"] for entry in train}
    assert losses == trainer.train_loss_dict
    for entry, result in zip(valid, trainer.valid_results.values(), strict=True):
        assert {f"valid/{name}": value for name, value in result.items()}.items() <= entry.items()
    shown = {name.removeprefix("eval/"): value for name, value in wandb.run.summary.items()}
    assert {name: pytest.approx(value, abs=1e-4) for name, value in shown.items()} == test_result
