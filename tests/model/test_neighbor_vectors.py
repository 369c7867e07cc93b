"""Own vectors of the nearest texts, as a part of the vector of an item."""

import torch
from torch.nn import functional as F

from recbole_genrec.items.needs import TEXT, Embeddings
from recbole_genrec.model.item_vectors import ItemVectors
from recbole_genrec.model.neighbor_vectors import NeighborLists, NeighborVectors
from recbole_genrec.model.semantic_sasrec import SemanticSASRec
from recbole_genrec.model.text_neighbors import nearest_texts
from recbole_genrec.tokenizer.rqkmeans import RQKMeans
from tests.model.slow_neighbors import slow_mean
from tests.model.test_semantic_sasrec import (
    KMEANS,
    N_ITEMS,
    SETTINGS,
    catalogue_of,
    model_of,
    with_texts,
)
from tests.model.test_tiger import CONFIG, histories

USED = {"item_vectors": ["own", "codes", "neighbors"], "neighbors": 4}


def texts(number: int) -> torch.Tensor:
    return F.normalize(F.pad(torch.randn(number, 6, dtype=torch.double), (0, 0, 1, 0)))


def test_gradients_are_those_of_the_equation():
    """Of all items, whose gradient is written by hand, and of some."""
    text, own = texts(29), torch.randn(30, 4, dtype=torch.double, requires_grad=True)
    module = NeighborVectors(4, NeighborLists(*nearest_texts(text, 3))).double()
    torch.nn.init.normal_(module.weight)
    means = [own.new_zeros(4), *(slow_mean(text, item, 3, own) for item in range(1, 30))]
    expected, towards = module.weight * torch.stack(means), torch.randn(30, 4, dtype=torch.double)
    learned = (own, module.weight)
    slow = torch.autograd.grad(expected, learned, towards, retain_graph=True)
    some = torch.tensor([7, 2, 2, 0])
    slow_of_some = torch.autograd.grad(expected[some], learned, towards[:4])
    for items, found, gradients in (
        (None, module(own), slow),
        (some, module(own, some), slow_of_some),
    ):
        torch.testing.assert_close(found, expected if items is None else expected[items])
        fast = torch.autograd.grad(found, learned, towards[: len(found)])
        for ours, theirs in zip(fast, gradients, strict=True):
            torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_new_items_live_from_the_known_ones_and_change_none():
    model, rows = model_of(with_texts(catalogue_of()), **USED), torch.randn(30, 6)
    model.items.tokenizers[""] = RQKMeans(KMEANS, 6).fit(rows)
    before, parts = model.item_vectors(), model.item_vectors
    model.add_items(["new"], ["a new one"], {"text": rows[:1]})
    model.add_items(["newer"], ["the same text"], {"text": rows[:1]})  # no neighbor of "new"
    assert torch.equal(parts()[:N_ITEMS], before)
    known = torch.cat([model.items.embeddings["text"].vectors[:N_ITEMS], rows[:1]])
    mean = slow_mean(F.normalize(known), N_ITEMS, 4, parts.own.weight)
    for item in (N_ITEMS, N_ITEMS + 1):
        codes = parts.codes.weight[model.ids.tokens[item]].sum(0)
        torch.testing.assert_close(parts()[item], codes + parts.neighbors.weight * mean)
    restored = model_of(**USED)
    restored.load_state_dict(model.state_dict())
    batch = histories()
    assert torch.equal(restored.item_scores(batch), model.item_scores(batch))


@torch.no_grad()
def test_a_small_catalogue_lacks_neighbors():
    ids = catalogue_of().items.ids[""].codes[:3]
    table = type("Table", (), {"num_items": len(ids), "vocab_size": 1})()
    text = texts(2).abs().float()
    lists = NeighborLists(*nearest_texts(text, 5))
    vectors = ItemVectors(["own", "neighbors"], 4, {"": table}, lists=lists)
    own, weight = vectors.own.weight, vectors.neighbors.weight
    torch.testing.assert_close(vectors()[1:], own[1:] + weight * own[1:].flip(0))


def test_they_need_texts():
    settings = {**CONFIG, **SETTINGS}
    assert Embeddings(TEXT) not in SemanticSASRec.needs(settings)
    assert Embeddings(TEXT) in SemanticSASRec.needs({**settings, **USED})
