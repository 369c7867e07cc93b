"""The learner `muon` against its two optimizers apart, the meaning of its step, and going on."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from recbole_genrec.errors import InputError
from recbole_genrec.trainer.muon import MuonAdamW
from tests.small import new_trainer, prepare, toy_config, write_toy
from tests.trainer.test_resume import assert_same, attempt, outcome, stopped

MUON = {"learner": "muon", "weight_decay": 0.1}
SASREC = {"n_layers": 1, "hidden_size": 8, "inner_size": 8, "n_heads": 2}


class Network(nn.Module):
    """Embeddings that are also the head, two matrices, a bias, a norm and a single matrix."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.inner, self.outer = nn.Linear(4, 6), nn.Linear(6, 4, bias=False)
        self.norm = nn.LayerNorm(4)
        self.gate = nn.Parameter(torch.randn(2, 4))
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        x = self.norm(self.embedding(tokens) * self.gate.sum(0))
        return self.head(x + self.outer(self.inner(x).relu()))

    def backward(self):
        self.zero_grad()
        nn.functional.cross_entropy(
            self(torch.tensor([1, 2, 3])), torch.tensor([2, 3, 4])
        ).backward()


def test_matrices_go_by_muon_and_all_else_by_adamw():
    together, apart = Network(), Network()
    apart.load_state_dict(together.state_dict())
    optimizer = MuonAdamW(together.parameters(), together, lr=0.01, weight_decay=0.1)
    matrices = [apart.inner.weight, apart.outer.weight]
    others = [p for p in apart.parameters() if not any(p is matrix for matrix in matrices)]
    muon = torch.optim.Muon(matrices, 0.01, 0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(others, 0.01, weight_decay=0.1, fused=True)
    for _ in range(3):
        together.backward(), optimizer.step()
        apart.backward(), muon.step(), adamw.step()
    assert_same(together.state_dict(), apart.state_dict())


def test_a_step_turns_a_matrix_in_all_directions_alike():
    network = Network()
    before = network.inner.weight.detach().clone()
    optimizer = MuonAdamW(network.parameters(), network, lr=0.01, weight_decay=0.0)
    network.backward(), optimizer.step()
    step = (before - network.inner.weight.detach()) / (0.01 * 0.2 * 6**0.5)
    singular = torch.linalg.svdvals(step)[:3]  # the last direction has hardly a gradient
    assert ((singular > 0.5) & (singular < 1.5)).all()


def test_the_learning_rates_of_the_groups_and_a_loaded_state_are_followed():
    network, other = Network(), Network()
    optimizer = MuonAdamW(network.parameters(), network, lr=0.01, weight_decay=0.1)
    network.backward(), optimizer.step()
    other.load_state_dict(network.state_dict())
    again = MuonAdamW(other.parameters(), other, lr=0.5, weight_decay=0.0)
    again.load_state_dict(deepcopy(optimizer.state_dict()))
    for each, model in ((optimizer, network), (again, other)):
        model.backward(), each.step()
    assert_same(other.state_dict(), network.state_dict())
    for group in again.param_groups:
        group["lr"] = 0.0
    other.backward(), again.step()
    assert_same(other.state_dict(), network.state_dict())


def test_stopped_training_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data_path = write_toy(tmp_path, missing=False)
    settings = {**MUON, "lr_scheduler": "cosine", "clip_grad_norm": {"max_norm": 0.5}}
    whole, run = attempt("TIGER", data_path, "whole", **settings)
    assert [group["part"] for group in whole.optimizer.param_groups] == ["recommender"] * 2
    expected = outcome(whole, run, whole.fit(run.train, run.valid))
    trainer, run = attempt("TIGER", data_path, "stopped", checkpoint_step=3, **settings)
    stopped("on_step_start", 8, trainer, run)
    again, run = attempt("TIGER", data_path, "stopped", checkpoint_step=3, **settings)
    again.resume("auto")
    assert_same(outcome(again, run, again.fit(run.train, run.valid)), expected)


def test_a_phase_without_matrices_is_all_of_adamw(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data_path = write_toy(tmp_path, missing=False)
    settings = {**MUON, **SASREC, "repeat_bias": "fitted"}

    def prepared():
        return prepare(toy_config("SASRecRepeatBias", data_path, **settings))

    run = prepared()
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    bias = trainer.model.repeat_bias.weight
    assert bias.ne(0).any()
    (state,) = trainer.optimizer.state.values()
    assert state.keys() == {"step", "exp_avg", "exp_avg_sq"}
    again = new_trainer(prepared())
    again.resume(trainer.last_model_file)
    assert torch.equal(again.model.repeat_bias.weight, bias)
    assert_same(again.optimizer.state_dict(), trainer.optimizer.state_dict())


def test_a_model_without_matrices_is_refused(tmp_path):
    run = prepare(toy_config("BPR", write_toy(tmp_path), **MUON))
    with pytest.raises(InputError, match="learner should be adamw for BPR, without linear layers"):
        new_trainer(run)
