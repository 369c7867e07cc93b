"""RPG's walk along a graph of items against loops over users, items and edges."""

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.model.rpg import RPG
from tests.model.test_rpg import N_ITEMS, rpg
from tests.model.test_tiger import histories
from tests.resume_cases import SETTINGS
from tests.small import new_trainer, prepare, toy_config, write_toy

EDGES, BEAMS, STEPS = 4, 8, 3


def walking(**settings) -> RPG:
    return rpg(graph_edges=EDGES, **settings).eval()


def similarity(model: RPG, one: int, other: int) -> torch.Tensor:
    """Mean over the levels of the cosines of two items' codes, by hand."""
    embedded = (model.code_embedding.weight[model.ids.tokens[item]] for item in (one, other))
    return F.cosine_similarity(*embedded, dim=1).mean()


@torch.no_grad()
def test_an_item_leads_to_those_with_the_most_similar_codes():
    model = walking()
    for item in range(1, N_ITEMS):
        all_items = [similarity(model, item, other) for other in range(1, N_ITEMS)]
        expected = torch.stack(all_items).topk(EDGES).indices + 1
        assert model.graph()[item].tolist() == expected.tolist()
        assert model.graph()[item, 0] == item


@torch.no_grad()
def test_lists_are_what_the_walk_finds():
    model, interaction = walking(), histories()
    exact = rpg().eval()
    exact.load_state_dict(model.state_dict())
    scores, graph = exact.full_sort_predict(interaction), model.graph()
    generator = torch.Generator().manual_seed(model.seed)
    start = torch.randint(1, N_ITEMS, (BEAMS,), generator=generator).tolist()
    found = model.full_sort_predict(interaction)
    for user, own in enumerate(scores.tolist()):
        beams = set(start)
        for _ in range(STEPS):
            reached = {other for item in beams for other in graph[item].tolist()}
            beams = set(sorted(reached, key=lambda item: -own[item])[:BEAMS])
        assert set(found[user].isfinite().nonzero().flatten().tolist()) == beams
        assert found[user, list(beams)].tolist() == [own[item] for item in beams]
    items, values = model.recommend(interaction, 5)
    assert torch.equal(values, found.topk(5).values)
    assert torch.equal(values, found.gather(1, items))


@torch.no_grad()
def test_items_that_are_allowed_need_no_walk():
    model, interaction = walking(), histories()
    exact = rpg().eval()
    exact.load_state_dict(model.state_dict())
    allowed = torch.tensor([50, 3, 27, 44, 8])
    items, scores = model.recommend(interaction, 5, allowed)
    assert items.sort(1).values.tolist() == [[3, 8, 27, 44, 50]] * len(interaction)
    assert torch.equal(scores, exact.recommend(interaction, 5, allowed)[1])


@torch.no_grad()
def test_a_walk_along_all_edges_finds_the_best_items():
    model, interaction = rpg(graph_edges=N_ITEMS).eval(), histories()
    exact = rpg().eval()
    exact.load_state_dict(model.state_dict())
    for found, expected in zip(
        model.recommend(interaction, BEAMS), exact.recommend(interaction, BEAMS), strict=True
    ):
        assert torch.equal(found, expected)


@torch.no_grad()
def test_validation_is_exact_and_new_weights_have_a_new_graph():
    model, interaction = walking(), histories()
    before = model.graph()
    with model.validating():
        assert model.full_sort_predict(interaction)[:, 1:].isfinite().all()
    assert not model.full_sort_predict(interaction)[:, 1:].isfinite().all()
    model.load_state_dict(walking().state_dict())
    assert not torch.equal(model.graph(), before)
    before = model.graph()
    torch.nn.init.normal_(model.train().eval().code_embedding.weight)  # as training does
    assert not torch.equal(model.graph(), before)


def test_the_walk_must_hold_the_list(tmp_path):
    config = toy_config("RPG", write_toy(tmp_path), graph_edges=50, graph_beams=4)
    with pytest.raises(InputError, match=r"graph_beams should be at least max\(topk\) \[5\]"):
        RPG.check_config(config)
    RPG.check_config(toy_config("RPG", tmp_path, graph_edges=50))


def test_the_rank_of_every_item_is_not_to_be_had(tmp_path):
    metrics = {"metrics": ["NDCG", "GAUC"]}
    config = toy_config("RPG", write_toy(tmp_path), graph_edges=50, **metrics)
    with pytest.raises(InputError, match="graph_edges should be 0 with GAUC"):
        RPG.check_config(config)
    RPG.check_config(toy_config("RPG", tmp_path, **metrics))


def test_masked_lists_are_as_long_as_others(tmp_path):
    """The walk holds 5 items, and the items of a history are those that score highest."""
    settings = {**SETTINGS["RPG"], "graph_edges": 10, "graph_beams": 5, "repeatable": False}
    run = prepare(toy_config("RPG", write_toy(tmp_path, missing=False), **settings))
    trainer = new_trainer(run)
    trainer.evaluate(run.test, load_best_model=False)
    masked, unmasked = trainer.lists["masked"], trainer.lists["unmasked"]
    assert masked.shape == unmasked.shape == (30, 5)
    assert masked.gt(0).all() and not torch.equal(masked, unmasked)
