"""TIGER with each of the losses: it trains, it resumes, and only the loss differs."""

import math

import pytest
import torch

from recbole_genrec.config import Config
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.loss import LOSSES
from recbole_genrec.model.generative_recommender import STEPS_PER_NOTE
from recbole_genrec.model.tiger import TIGER
from recbole_genrec.model.tiger_token_weighted import TIGERTokenWeighted

from .test_tiger import CONFIG, N_ITEMS, catalogue, histories

PLAIN = {"loss": "cross_entropy", "dropout_rate": 0.0}
WEIGHTED = {"loss": "token_weighted", "dropout_rate": 0.0, "curriculum_rate": 0.1}


def training_data():
    """What a data set offers in training: 60 items with 3 levels of 5 codes and all statistics."""
    chosen = torch.randperm(5**3)[: N_ITEMS - 1]
    codes = torch.stack([chosen // 25, chosen // 5 % 5, chosen % 5], dim=1)
    data = catalogue(codes, [5, 5, 5])
    data.items.embeddings["text"] = ItemEmbeddings(torch.randn(N_ITEMS, 8), ItemEncoder())
    data.target_counts = torch.randint(0, 30, (N_ITEMS,))
    return data


def test_its_settings_are_those_of_tiger_but_for_loss_and_ids():
    ours, theirs = (Config(model, "ml-100k") for model in (TIGERTokenWeighted, TIGER))
    assert ours["loss"] == "token_weighted" and ours["curriculum_rate"] == 2e-4
    for key in ("d_model", "learning_rate", "tokenizer", "beam_size", "epochs"):
        assert ours[key] == theirs[key]
    assert ours["collision"] == "reassign" and ours["codebook_sizes"] == [64, 64, 64]
    elsewhere = Config(TIGERTokenWeighted, "amazon-beauty")  # as in the paper
    assert elsewhere["collision"] == "reassign" and elsewhere["codebook_sizes"] == [256] * 4


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_learns_a_batch_by_heart(name):
    model = TIGER({**CONFIG, **PLAIN, "loss": name}, training_data()).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    interaction = histories()
    losses = []
    for _ in range(10):
        loss = model.calculate_loss(interaction)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.on_step_end()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_with_neutral_weights_it_is_tiger_to_the_last_bit():
    data, interaction = training_data(), histories()
    ours, theirs = (
        TIGERTokenWeighted({**CONFIG, **WEIGHTED}, data),
        TIGER({**CONFIG, **PLAIN}, data),
    )
    theirs.load_state_dict(ours.state_dict(), strict=False)
    assert ours.calculate_loss(interaction) != theirs.calculate_loss(interaction)
    ours.loss.front_greater_weights.fill_(1)
    ours.loss.frequency_weights.fill_(1)
    loss = ours.calculate_loss(interaction)
    assert torch.equal(loss, theirs.calculate_loss(interaction))
    loss.backward()
    theirs.calculate_loss(interaction).backward()
    for parameter, plain in zip(ours.t5.parameters(), theirs.t5.parameters(), strict=True):
        assert torch.equal(parameter.grad, plain.grad)


def test_objectives_shift_from_step_to_step_and_are_restored_for_recommending():
    data, interaction = training_data(), histories()
    model = TIGERTokenWeighted({**CONFIG, **WEIGHTED}, data).train()
    shares = []
    for _ in range(4):
        shares.append(model.loss.objective_weights()["frequency"])
        model.on_step_end()
    assert shares[0] == 0 and shares == sorted(set(shares))

    codes = model.ids.codes[1:]
    restored = TIGERTokenWeighted({**CONFIG, **WEIGHTED}, catalogue(codes, [5, 5, 5]))
    restored.load_state_dict(model.state_dict())
    assert restored.loss.objective_weights() == model.loss.objective_weights()
    model.eval(), restored.eval()
    ids, scores = model.recommend(interaction, 5)
    again, same_scores = restored.recommend(interaction, 5)
    assert torch.equal(ids, again) and torch.equal(scores, same_scores)


def test_the_shares_of_the_objectives_are_noted_over_the_steps_also_after_an_interruption():
    whole, data = TIGERTokenWeighted({**CONFIG, **WEIGHTED}, training_data()), training_data()
    for _ in range(STEPS_PER_NOTE + 7):
        whole.on_step_end()
    resumed = TIGERTokenWeighted({**CONFIG, **WEIGHTED}, data)
    resumed.load_state_dict(whole.state_dict())
    resumed.load_extra(whole.extra_checkpoint())
    for model in (whole, resumed):
        for _ in range(STEPS_PER_NOTE):
            model.on_step_end()
        model.on_epoch_end(0)
    noted = whole.objective_weights()
    steps = [STEPS_PER_NOTE, 2 * STEPS_PER_NOTE, 2 * STEPS_PER_NOTE + 7]  # the last of the epoch
    assert list(noted) == steps and resumed.objective_weights() == noted
    decay = [math.exp(-WEIGHTED["curriculum_rate"] * step) for step in steps]
    expected = [(1 - each) / (1 + each) for each in decay]
    assert [noted[step]["frequency"] for step in steps] == pytest.approx(expected)
