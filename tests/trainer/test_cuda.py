"""On a GPU every model trains, ranks and goes on as on the CPU; skipped where torch finds none."""

import pytest
import torch

from tests.small import new_trainer, write_toy
from tests.trainer.test_mixed_precision import CASES
from tests.trainer.test_resume import attempt, prepared, stopped

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
DEVICES = {"cpu": False, "cuda": True}  # and what `use_gpu` is there


@pytest.fixture
def data_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_toy(tmp_path, missing=False)


def draws(model, settings):
    """Whether the loss depends on random numbers, of which each device has its own."""
    return model == "EAGER" or "sampled_items" in settings


def first_loss(trainer, run):
    """The losses of the first batch without dropout, and the norms of their gradients."""
    model = trainer.model.eval()
    trainer.hooks.on_epoch_start(0)
    losses = trainer.optimizer_step(
        trainer.optimizer, [next(iter(run.train))], model.calculate_loss
    )
    losses = losses if isinstance(losses, tuple) else (losses,)
    named = [(name, each.grad) for name, each in model.named_parameters() if each.grad is not None]
    return [float(each) for each in losses], {name: float(grad.norm()) for name, grad in named}


@pytest.mark.parametrize(("model", "settings"), CASES, ids=str)
def test_the_loss_and_its_gradients(model, settings, data_path):
    found = {}
    for device, use_gpu in DEVICES.items():  # the GPU takes the semantic IDs that the CPU has made
        run = prepared(model, data_path, **settings, use_gpu=use_gpu)
        trainer = new_trainer(run)
        torch.manual_seed(use_gpu)
        found[device] = first_loss(trainer, run)
    (losses, norms), (expected_losses, expected_norms) = found["cuda"], found["cpu"]
    if draws(model, settings):
        assert losses == pytest.approx(expected_losses, rel=0.1)
    else:
        assert losses == pytest.approx(expected_losses, rel=1e-3)
        assert norms == pytest.approx(expected_norms, rel=1e-3, abs=1e-5)


def trained(model, data_path, **settings):
    """A trainer after one epoch, and its data; each device leaves its files in a folder."""
    device = "cuda" if settings["use_gpu"] else "cpu"
    places = {"checkpoint_dir": str(data_path / device)}
    run = prepared(model, data_path, **{**settings, **places, "epochs": 1})
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    assert {each.device.type for each in trainer.model.parameters()} == {device}
    return trainer, run


@pytest.mark.parametrize(("model", "settings"), CASES, ids=str)
def test_an_epoch_ranks_on_the_cpu_as_on_the_gpu(model, settings, data_path):
    on_gpu, run = trained(model, data_path, **settings, use_gpu=True)
    found = on_gpu.evaluate(run.test)
    on_cpu, run = trained(model, data_path, **settings, use_gpu=False)
    expected = on_cpu.evaluate(run.test, model_file=on_gpu.saved_model_file)
    user = 1 / 30  # rounding may decide between two items of nearly the same score
    assert found == pytest.approx(expected, abs=user)


@pytest.mark.parametrize("model", ["TIGER", "UniGRec", "ETEGRec", "RPG", "SemanticSASRec"])
def test_an_epoch_in_bfloat16(model, data_path):
    plain, _ = trained(model, data_path, use_gpu=True)
    mixed, _ = trained(model, data_path, use_gpu=True, enable_amp=True)
    assert mixed.train_loss_dict[0] == pytest.approx(plain.train_loss_dict[0], rel=0.03)


@pytest.mark.parametrize("model", ["SASRec", "TIGER", "UniGRec", "SemanticSASRec"])
def test_a_stopped_run_goes_on(model, data_path):
    whole, run = attempt(model, data_path, "whole", use_gpu=True)
    whole.fit(run.train, run.valid)
    trainer, run = attempt(model, data_path, "stopped", use_gpu=True, checkpoint_step=2)
    stopped("on_step_end", 5, trainer, run)
    trainer, run = attempt(model, data_path, "stopped", use_gpu=True, checkpoint_step=2)
    trainer.resume("auto")
    trainer.fit(run.train, run.valid)
    assert trainer.step == whole.step
    assert trainer.train_loss_dict == pytest.approx(whole.train_loss_dict, rel=1e-3)
