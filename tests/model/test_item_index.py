"""Lists that come of an index against scores of all items."""

import pytest
import torch

from recbole_genrec.model import item_index
from recbole_genrec.model.item_index import ItemIndex
from tests.model.test_rpg import histories
from tests.model.test_semantic_sasrec import N_ITEMS, catalogue_of, model_of


@pytest.mark.parametrize("trained_on", [1, 10])
def test_an_index_that_looks_everywhere_is_exact(trained_on, monkeypatch):
    monkeypatch.setattr(item_index, "TRAINED_ON", trained_on)
    vectors, states = torch.randn(51, 4), torch.randn(6, 4)
    found = ItemIndex(vectors).search(states, 60)
    expected = (states @ vectors[1:].T).argsort(1, descending=True) + 1
    assert torch.equal(found[:, :50], expected)
    assert not found[:, 50:].any()


def test_it_finds_most_where_it_looks_in_a_part_of_the_lists(monkeypatch):
    monkeypatch.setattr(item_index, "PROBES", 8)
    centers = torch.randn(100, 8)
    vectors = centers[torch.randint(100, (6401,))] + 0.3 * torch.randn(6401, 8)
    states = 3 * centers[:20] + torch.randn(20, 8)
    found = ItemIndex(vectors).search(states, 10)
    expected = (states @ vectors[1:].T).topk(10).indices + 1
    recall = (found.unsqueeze(2) == expected.unsqueeze(1)).any(2).float().mean()
    assert recall > 0.8


def with_memory(**settings):
    dataset = catalogue_of()
    before, after = torch.randint(1, N_ITEMS, (400, 2)), torch.randint(1, N_ITEMS, (400,))
    dataset.before_targets = lambda steps: (before, after)
    torch.manual_seed(5)
    return model_of(dataset, memory_steps=2, memory_followers=6, **settings)


@pytest.mark.parametrize("k", [1, 5, 30, 70])
@pytest.mark.parametrize("bias", ["learned", "mask"])
@torch.no_grad()
def test_lists_of_an_exact_index_are_those_of_all_scores(k, bias):
    """Also where what is added brings items up from the end or takes the best ones down."""
    dataset, interaction = with_memory(repeat_bias=bias), histories()
    indexed = with_memory(repeat_bias=bias, index_from=60)
    indexed.load_state_dict(dataset.state_dict())
    items, scores = dataset.recommend(interaction, k)
    found, found_scores = indexed.recommend(interaction, k)
    assert torch.equal(found, items)
    torch.testing.assert_close(found_scores, scores, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_items_of_history_and_memory_are_found_without_the_index(monkeypatch):
    monkeypatch.setattr(
        ItemIndex, "search", lambda self, states, k: torch.zeros(len(states), k).long()
    )
    model, interaction = with_memory(index_from=60), histories()
    items, scores = model.recommend(interaction, 60)
    every = model.item_scores(interaction)
    additions = model.additions(*model.last_states(interaction)).items
    for user in range(4):
        expected = {item for item in additions[user].tolist() if item}
        found = items[user][items[user] > 0]
        assert set(found.tolist()) == expected and len(found) == len(expected)
        torch.testing.assert_close(scores[user, : len(found)], every[user, found])


def test_an_index_follows_the_weights():
    model, interaction = with_memory(index_from=60), histories()
    model.recommend(interaction, 5)
    first = model.index()
    assert model.index() is first
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, fused=True)
    model.train().calculate_loss(interaction).backward()
    optimizer.step()
    model.eval()
    plain = with_memory()
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model.recommend(interaction, 9)[0], plain.recommend(interaction, 9)[0])
    second = model.index()
    assert second is not first
    model.load_state_dict(plain.state_dict())
    assert model.index() is not second
