"""BSARec's filter against a sum of sines and cosines, its mixture against SASRec."""

import math

import pytest
import torch
from recbole.model.sequential_recommender.sasrec import SASRec

from recbole_genrec.errors import InputError
from recbole_genrec.model.bsarec import BSARec, FrequencyFilter
from tests.small import new_trainer, prepare, toy_config, write_toy


@pytest.mark.parametrize("length", [6, 7])
@pytest.mark.parametrize("low", [1, 2, 3, 9])
def test_the_filter_keeps_the_lowest_frequencies(length, low):
    filtered = FrequencyFilter(4, low, dropout=0.0, eps=1e-12)
    x = torch.randn(3, length, 4)
    time = torch.arange(length)
    expected = torch.zeros_like(x)
    for frequency in range(min(low, length // 2 + 1)):
        alone = frequency == 0 or 2 * frequency == length  # all others have a mirror image
        for wave in (torch.cos, torch.sin):
            basis = wave(2 * math.pi * frequency * time / length)
            amplitude = torch.einsum("t,btd->bd", basis, x) / length * (1 if alone else 2)
            expected += torch.einsum("t,bd->btd", basis, amplitude)
    kept = expected + filtered.beta**2 * (x - expected)
    expected = torch.nn.functional.layer_norm(x + kept, (4,), eps=1e-12)
    torch.testing.assert_close(filtered(x), expected, atol=1e-5, rtol=1e-4)


def test_without_its_filter_it_is_sasrec(tmp_path):
    settings = {"n_layers": 2, "hidden_size": 8, "inner_size": 8, "n_heads": 2}
    run = prepare(toy_config("BSARec", write_toy(tmp_path), filter_weight=0.0, **settings))
    ours = BSARec(run.config, run.train.dataset).eval()
    theirs = SASRec(run.config, run.train.dataset).eval()
    state = {
        name.replace("multi_head_attention.attention", "multi_head_attention"): weight
        for name, weight in ours.state_dict().items()
        if ".filtered." not in name
    }
    theirs.load_state_dict(state)
    batch = next(iter(run.train))
    torch.testing.assert_close(ours.calculate_loss(batch), theirs.calculate_loss(batch))
    for layer in ours.trm_encoder.layer:
        layer.multi_head_attention.weight = 0.7
    assert abs(ours.calculate_loss(batch) - theirs.calculate_loss(batch)) > 1e-4


def test_it_learns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"hidden_size": 16, "inner_size": 16, "epochs": 4, "learning_rate": 0.01}
    run = prepare(toy_config("BSARec", write_toy(tmp_path), **settings))
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    losses = list(trainer.train_loss_dict.values())
    assert losses[-1] < losses[0]
    assert trainer.evaluate(run.test)["recall@5"] >= 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filter_weight": 1.5}, r"filter_weight should be .*1.*, found \[1.5\]"),
        ({"low_frequencies": 0}, r"low_frequencies should be an integer >= 1, found \[0\]"),
        ({"hidden_size": 9, "n_heads": 2}, r"hidden_size should be a multiple of n_heads \[2\]"),
    ],
)
def test_settings_that_cannot_work(settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        BSARec.check_config(toy_config("BSARec", write_toy(tmp_path), **settings))
