"""The sampled softmax against the full one, whose estimate it is."""

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec.model import item_level_recommender, semantic_sasrec
from recbole_genrec.model.item_softmax import (
    ItemSampler,
    mean_in_chunks,
    number_of_draws,
    sampled_softmax_loss,
)
from recbole_genrec.model.sparse_scores import SparseScores
from tests.model.test_rpg import histories
from tests.model.test_rpg import rpg as untrained_rpg
from tests.model.test_semantic_sasrec import N_ITEMS, catalogue_of, model_of

COUNTS = torch.tensor([0, 50, 0, 3, 7, 20, 1])


def test_popular_items_are_drawn_more_often():
    items, weights = ItemSampler(COUNTS, 40_000).draw()
    share = (COUNTS[1:] + 1) / (COUNTS[1:] + 1).sum()
    assert items.tolist() == [1, 2, 3, 4, 5, 6]
    torch.testing.assert_close(weights, torch.zeros(6), atol=0.15, rtol=0)  # k = |S| q of all
    drawn = weights.exp() * 40_000 * share
    torch.testing.assert_close(drawn.sum(), torch.tensor(40_000.0))


@pytest.mark.parametrize("number", [1, 3, 10])
def test_the_sum_over_items_is_estimated_without_bias(number):
    sampler, scores = ItemSampler(COUNTS, number), torch.randn(7)
    estimates = []
    for _ in range(6000):
        items, weights = sampler.draw()
        estimates.append((scores[items] + weights).exp().sum())
    estimates = torch.stack(estimates)
    error = estimates.std() / len(estimates) ** 0.5
    assert (estimates.mean() - scores[1:].exp().sum()).abs() < 4 * error


def test_with_all_items_at_hand_it_is_the_full_softmax():
    states, vectors = torch.randn(5, 4), torch.randn(7, 4)
    targets = torch.tensor([1, 6, 3, 3, 2])
    seen = SparseScores(torch.tensor([[1, 2, 0]]).expand(5, -1), torch.randn(5, 3))
    items, columns = torch.arange(1, 7), torch.arange(7) - 1
    arguments = (vectors[targets], targets, vectors[1:], items, torch.zeros(6), columns, seen)
    loss = sampled_softmax_loss(states, *arguments)
    logits = seen.add_to(F.linear(states, vectors))[:, 1:]
    expected = F.cross_entropy(logits, targets - 1, reduction="sum")
    torch.testing.assert_close(loss, expected)
    fewer = torch.tensor([4, 2])  # of the others, targets and repeats are choices where they stand
    columns = torch.tensor([-1, -1, 1, -1, 0, -1, -1])
    arguments = (vectors[targets], targets, vectors[fewer], fewer, torch.zeros(2), columns, seen)
    loss = sampled_softmax_loss(states, *arguments)
    whole, expected = seen.add_to(F.linear(states, vectors)), 0
    for row, target in enumerate(targets.tolist()):
        choices = [target, *(item for item in (4, 2) if item != target)]
        expected -= whole[row, choices].log_softmax(0)[0]
    torch.testing.assert_close(loss, expected)


def test_chunks_change_nothing():
    weight, rows = torch.randn(3, 4, requires_grad=True), torch.randn(10, 4)

    def loss(rows, weight):
        return F.linear(rows, weight).square().sum()

    whole = mean_in_chunks(loss, 10, (rows,), (weight,))
    parts = mean_in_chunks(loss, 3, (rows,), (weight,))
    torch.testing.assert_close(parts, whole)
    expected = torch.autograd.grad(whole, weight)
    torch.testing.assert_close(torch.autograd.grad(parts, weight), expected)


@pytest.mark.parametrize(
    ("setting", "n_items", "number"),
    [("auto", 100_001, 0), ("auto", 100_002, 8192), (0, 10**6, 0), (50, 61, 50)],
)
def test_many_items_are_sampled(setting, n_items, number):
    assert number_of_draws(setting, n_items) == number


@pytest.mark.parametrize("scores", [2**26, 2000], ids=["whole", "in chunks"])
def test_a_model_trains_on_samples(scores, monkeypatch):
    monkeypatch.setattr(semantic_sasrec, "SCORES", scores)
    dataset = catalogue_of()
    dataset.target_counts = torch.arange(N_ITEMS)
    model, interaction = model_of(dataset), histories()
    sampled = model_of(dataset, sampled_items=100_000)
    sampled.load_state_dict(model.state_dict())
    loss, expected = sampled.calculate_loss(interaction), model.calculate_loss(interaction)
    torch.testing.assert_close(loss, expected, atol=0.02, rtol=0.02)
    gradients = torch.autograd.grad(loss, list(sampled.parameters()))
    for ours, full in zip(
        gradients, torch.autograd.grad(expected, list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(ours, full, atol=0.05, rtol=0.2)


@pytest.mark.parametrize("build", [model_of, lambda: untrained_rpg(repeat_bias="learned").eval()])
@pytest.mark.parametrize("allowed", [None, [60, 3, 17, 18, 9, 40, 41, 5, 22, 30, 31, 50]])
@torch.no_grad()
def test_lists_are_the_same_when_few_items_are_scored_at_a_time(build, allowed, monkeypatch):
    model, interaction = build(), histories()
    allowed = allowed and torch.tensor(allowed)
    expected = model.recommend(interaction, 14, allowed)
    monkeypatch.setattr(item_level_recommender, "SCORES", 4 * 10)
    items, scores = model.recommend(interaction, 14, allowed)
    assert torch.equal(items, expected[0])
    torch.testing.assert_close(scores, expected[1])


@torch.no_grad()
def test_equal_scores_stand_in_the_order_of_ids_across_chunks(monkeypatch):
    monkeypatch.setattr(item_level_recommender, "SCORES", 4 * 10)
    model = untrained_rpg().eval()
    model.code_embedding.weight.fill_(1.0)
    items, _ = model.recommend(histories(), k=25)
    assert torch.equal(items, torch.arange(1, 26).expand(4, -1))
