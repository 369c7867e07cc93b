"""Text neighbors against cosines in plain loops."""

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec import Recommender
from recbole_genrec.items.needs import TEXT, Embeddings
from recbole_genrec.model import text_neighbors
from recbole_genrec.model.rpg import RPG
from recbole_genrec.model.semantic_sasrec import SemanticSASRec
from recbole_genrec.model.text_neighbors import TextNeighbors, nearest
from recbole_genrec.tokenizer.rqkmeans import RQKMeans
from tests.model.slow_neighbors import slow_likeness
from tests.model.test_rpg import SETTINGS as RPG_SETTINGS
from tests.model.test_rpg import histories
from tests.model.test_semantic_sasrec import (
    KMEANS,
    N_ITEMS,
    SETTINGS,
    catalogue_of,
    model_of,
    with_texts,
)
from tests.model.test_tiger import CONFIG
from tests.resume_cases import SETTINGS as RUNS
from tests.small import new_trainer, prepare, toy_config, write_toy

STEPS, NUMBER, D = 2, 5, 4
USED = {"neighbor_steps": STEPS, "neighbors": NUMBER}


def slow_scores(neighbors: TextNeighbors, text, state, seen: list[int]) -> torch.Tensor:
    """What each item gets, by the equation."""
    scores = torch.zeros(len(text))
    weights = 5 * (neighbors.weight @ state + neighbors.bias)
    for weight, anchor in zip(weights, seen, strict=False):
        for item, likeness in slow_likeness(text, anchor, neighbors.number).items():
            scores[item] += weight * likeness
    return scores


def texts(number: int) -> torch.Tensor:
    return F.normalize(F.pad(torch.randn(number - 1, 6), (0, 0, 1, 0)))


def neighbors_of(text: torch.Tensor, number: int = NUMBER) -> TextNeighbors:
    neighbors = TextNeighbors(D, len(text), STEPS, number, text)
    torch.nn.init.normal_(neighbors.weight)
    torch.nn.init.normal_(neighbors.bias)
    return neighbors


@torch.no_grad()
def test_scores_are_those_of_the_equation():
    text, states = texts(30), torch.randn(3, D)
    neighbors = neighbors_of(text)
    for seen in ([[4, 9, 2], [7, 0, 0], [11, 12, 0]], [[5], [6], [29]]):
        found = neighbors(states, torch.tensor(seen)).add_to(torch.zeros(3, 30))
        for row, state in enumerate(states):
            history = [item for item in seen[row] if item]
            expected = slow_scores(neighbors, text, state, history)
            torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_same_text_scores_one_and_the_last_fades():
    neighbors = neighbors_of(texts(30), 28)  # all others: the one behind them does not exist
    assert neighbors.items[3].bool().all()
    text = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    lists = TextNeighbors(D, 5, 1, 2, F.normalize(text))
    assert lists.items[1].tolist() == [2, 3]
    torch.testing.assert_close(lists.likeness[1], torch.tensor([1.0, 0.5**0.5]))


@torch.no_grad()
def test_a_small_catalogue_lacks_neighbors():
    items, cosines = nearest(F.normalize(F.pad(torch.rand(3, 2), (0, 0, 1, 0))), 4)
    assert items.count_nonzero(dim=1).tolist() == [0, 2, 2, 2]
    assert not cosines[:, 2:].any()


@torch.no_grad()
def test_no_more_neighbors_than_items():
    text = texts(32)
    neighbors = neighbors_of(text[:30], 10**12)
    assert neighbors.items.shape == (30, 29)
    neighbors.add_items(text)
    assert neighbors.items.shape == (32, 31)


@pytest.mark.parametrize("number", [5, 60, 10**12])
@torch.no_grad()
def test_lists_after_new_items_are_those_of_all_items_at_once(number):
    """Also where lists grow with the catalogue, as it had fewer items than they have room."""
    text = texts(100)
    neighbors = neighbors_of(text[:40], number)
    for end in (41, 60, 61, 100):
        neighbors.add_items(text[:end])
        at_once = neighbors_of(text[:end], number)
        assert torch.equal(neighbors.items, at_once.items)
        assert torch.equal(neighbors.behind, at_once.behind)
        torch.testing.assert_close(neighbors.likeness, at_once.likeness, atol=1e-5, rtol=1e-4)
    for item in range(1, 100 if number < 98 else 0):  # else no item is behind the last
        expected = slow_likeness(text, item, number)
        assert neighbors.items[item].tolist() == list(expected)
        torch.testing.assert_close(
            neighbors.likeness[item], torch.stack(list(expected.values())), atol=1e-5, rtol=1e-4
        )


@torch.no_grad()
def test_new_items_with_the_texts_of_others_are_as_near_as_those():
    text = texts(60)
    text[45:59] = text[1:15]  # of known and of new ones
    neighbors, at_once = neighbors_of(text[:10]), neighbors_of(text)
    for end in range(11, 61):
        neighbors.add_items(text[:end])
    torch.testing.assert_close(neighbors.likeness, at_once.likeness, atol=1e-5, rtol=1e-4)
    near = torch.einsum("nd,nkd->nk", text, text[neighbors.items])
    last = torch.einsum("nd,nkd->nk", text, text[neighbors.behind])
    expected = ((near - last) / (1 - last)).clamp(min=0)
    torch.testing.assert_close(neighbors.likeness[1:], expected[1:], atol=1e-5, rtol=1e-4)
    assert all(len(own.unique()) == NUMBER for own in neighbors.items[1:])


@torch.no_grad()
def test_an_index_finds_what_all_cosines_say(monkeypatch):
    vectors = F.normalize(F.pad(torch.randn(400, 8), (0, 0, 1, 0)))
    exact = nearest(vectors, 6)
    monkeypatch.setattr(text_neighbors, "EXACT", 300)
    found = nearest(vectors, 6)
    assert torch.equal(found[0], exact[0])
    torch.testing.assert_close(found[1], exact[1])


@torch.no_grad()
def test_models_add_it_to_their_scores():
    interaction = histories()
    for model in (model_of(with_texts(catalogue_of()), **USED), rpg_with_texts()):
        states, seen = model.last_states(interaction)
        expected = model.scores_of(states)
        if model.repeat_bias is not None:
            expected = model.repeat_bias(seen).add_to(expected)
        for row, state in enumerate(states):
            history, text = seen[row][seen[row] > 0].tolist(), model.texts.vectors
            expected[row] += slow_scores(model.neighbors, text, state, history)
        found = model.item_scores(interaction)
        torch.testing.assert_close(found[:, 1:], expected[:, 1:], atol=1e-4, rtol=1e-4)
        items, scores = model.recommend(interaction, 60)
        parts = model.explain(interaction, items)
        torch.testing.assert_close(sum(parts.values()), scores, atol=1e-4, rtol=1e-4)
        assert parts["text neighbors"].count_nonzero() > len(items)


def rpg_with_texts() -> RPG:
    model = RPG({**CONFIG, **RPG_SETTINGS, **USED}, with_texts(catalogue_of()))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def test_no_step_lies_behind_a_history():
    """Of neighbors and of the memory."""
    dataset = with_texts(catalogue_of())
    dataset.before_targets = lambda steps: (torch.ones(4, steps).long(), torch.ones(4).long())
    model = model_of(dataset, neighbor_steps=10**6, memory_steps=10**6)
    assert model.neighbors.steps == model.memory.steps == CONFIG["MAX_ITEM_LIST_LENGTH"]


def test_texts_are_needed_where_it_is_on():
    for model, settings in ((SemanticSASRec, SETTINGS), (RPG, RPG_SETTINGS)):
        assert Embeddings(TEXT) not in model.needs({**CONFIG, **settings, "neighbor_steps": 0})
        assert Embeddings(TEXT) in model.needs({**CONFIG, **settings, **USED})


@torch.no_grad()
def test_new_items_are_neighbors_at_once():
    model, rows = model_of(with_texts(catalogue_of()), **USED), torch.randn(30, 6)
    model.items.tokenizers[""] = RQKMeans(KMEANS, 6).fit(rows)
    same = model.items.embeddings[TEXT].vectors[7] * 3
    model.add_items(["new"], ["a new one"], {"text": same.unsqueeze(0)})
    seen = torch.tensor([[7]])
    part = model.neighbors(model.last_states(histories())[0][:1], seen)
    assert part.items[0, 0] == N_ITEMS and model.neighbors.likeness[7, 0] == pytest.approx(1)
    restored = model_of(**USED)
    restored.load_state_dict(model.state_dict())
    batch = histories()
    assert torch.equal(restored.item_scores(batch), model.item_scores(batch))


def test_training_with_it_answers_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {**RUNS["SemanticSASRec"], **USED, "epochs": 3}
    run = prepare(toy_config("SemanticSASRec", write_toy(tmp_path, missing=False), **settings))
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    assert trainer.model.neighbors.bias.ne(0).all()
    result = trainer.evaluate(run.test)
    assert new_trainer(run).evaluate(run.test, model_file=trainer.saved_model_file) == result
    recommender = Recommender.from_checkpoint(trainer.saved_model_file, device="cpu")
    recommender.add_items(["new"], texts=["word1 word1 tail, brand1"])
    (answer,) = recommender.recommend([["i1", "new"]], top_k=40, explain=True)
    assert any(found["parts"]["text neighbors"] for found in answer)
