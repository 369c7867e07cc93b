"""Vectors of all items are composed once, and anew after any change."""

import torch

from recbole_genrec.tokenizer.rqkmeans import RQKMeans
from tests.model.test_semantic_sasrec import KMEANS, catalogue_of, model_of, with_texts

ALL = {"item_vectors": ["own", "codes", "text", "neighbors"]}


@torch.no_grad()
def test_kept_vectors_follow_what_they_are_made_of():
    model, rows = model_of(with_texts(catalogue_of()), **ALL), torch.randn(30, 6)
    model.items.tokenizers[""] = RQKMeans(KMEANS, 6).fit(rows)
    vectors, states = model.item_vectors, torch.randn(2, 8)
    assert vectors.kept() is vectors.kept()
    assert torch.equal(model.scores_of(states), states @ vectors().T)
    items = torch.tensor([4, 9, 4])
    assert torch.equal(model.scores_of(states, items), states @ vectors()[items].T)
    other = model_of(with_texts(catalogue_of()), **ALL)
    changes = [
        *(lambda weight=weight: weight.mul_(2.0) for weight in vectors.parameters()),
        lambda: model.load_state_dict(other.state_dict()),
        lambda: model.add_items(["new"], ["a new one"], {"text": rows[:1]}),
    ]
    for change in changes:
        before = vectors.kept()
        change()
        assert not torch.equal(vectors.kept(), before)
        assert torch.equal(vectors.kept(), vectors())
