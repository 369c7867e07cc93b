"""Texts of items, kept once and read by all parts of a model."""

import copy
import io

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec.model.rpg import RPG
from recbole_genrec.tokenizer.rqkmeans import RQKMeans
from tests.model.test_rpg import SETTINGS as RPG_SETTINGS
from tests.model.test_rpg import histories
from tests.model.test_semantic_sasrec import KMEANS, N_ITEMS, catalogue_of, model_of, with_texts
from tests.model.test_tiger import CONFIG

USED = {"neighbor_steps": 2, "neighbors": 5}
ALL = {**USED, "item_vectors": ["own", "codes", "text", "neighbors"]}


def semantic_sasrec(dataset=None):
    return model_of(dataset, **ALL)


def of_two_vectors(dataset=None):
    return model_of(dataset, **ALL, shared_vectors=False)


def rpg(dataset=None):
    return RPG({**CONFIG, **RPG_SETTINGS, **USED}, dataset or catalogue_of()).eval()


@pytest.fixture(params=[semantic_sasrec, of_two_vectors, rpg])
def build(request):
    return request.param


def test_a_model_and_its_checkpoint_hold_them_once(build):
    model = build(with_texts(catalogue_of()))
    text = F.normalize(model.items.embeddings["text"].vectors)
    held = [name for name, each in model.state_dict().items() if torch.equal(each, text)]
    assert held == [name for name, each in model.named_buffers() if torch.equal(each, text)]
    assert held == ["texts.vectors"]
    lists = [name for name in model.state_dict() if name.endswith((".shares", ".likeness"))]
    assert lists == ["neighbors.likeness", "neighbor_lists.shares"][: 1 if build is rpg else 2]


def test_models_without_texts_hold_none():
    assert model_of(with_texts(catalogue_of())).texts is None


@torch.no_grad()
def test_all_parts_follow_a_checkpoint_a_copy_and_new_items(build):
    model, batch, rows = build(with_texts(catalogue_of())), histories(), torch.randn(30, 6)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    restored = build()  # from no texts, which the weights bring
    restored.load_state_dict(torch.load(file, weights_only=True))
    same = [model, restored, copy.deepcopy(model)]
    for each in same:
        each.items.tokenizers[""] = RQKMeans(KMEANS, 6).fit(rows)
    for number in range(2):  # new items after new items
        scores = [each.item_scores(batch) for each in same]
        assert torch.equal(scores[0], scores[1]) and torch.equal(scores[0], scores[2])
        for each in same:
            each.add_items([f"new {number}"], ["a new one"], {"text": rows[number : number + 1]})
            assert len(each.texts.vectors) == each.n_items == N_ITEMS + 1 + number
    copied = copy.deepcopy(model)
    copied.texts.vectors.zero_()
    assert model.texts.vectors[1:].any(1).all()  # a copy has its own, and its parts read those
    if build is not rpg:
        assert not copied.item_vectors.text.any()


@pytest.mark.parametrize("dtype", [torch.double, torch.half])
def test_all_parts_follow_what_moves_the_model(dtype, build):
    model = build(with_texts(catalogue_of())).to(dtype)
    assert model.texts.vectors.dtype == model.neighbors.likeness.dtype == dtype
    if build is not rpg:
        assert model.item_vectors.text is model.texts.vectors
        assert model.item_vectors().dtype == dtype
