"""Items as a checkpoint carries them: several sets of IDs, encoders of what comes new."""

import io

import pytest
import torch

from recbole_genrec.errors import InputError
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.items.items import Items
from recbole_genrec.items.pca import PCA
from recbole_genrec.items.text_encoder import TfidfEncoder
from recbole_genrec.tokenizer.registry import create_tokenizer
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs

TEXTS = ["red soap", "blue soap", "red comb", "blue comb", "green cream"]
RQKMEANS = {
    "tokenizer": "RQKMeans",
    "codebook_sizes": [2, 2],
    "tokenizer_kmeans_iterations": 5,
    "tokenizer_kmeans_sample": 100,
    "tokenizer_balanced": False,
    "seed": 1,
}


@pytest.fixture
def items():
    """Five items with IDs from their texts and imported ones."""
    raw = TfidfEncoder(4).fit(TEXTS)
    pca = PCA(2).fit(raw.encode(TEXTS).numpy())
    encoder = ItemEncoder(raw, pca)
    vectors = torch.nn.functional.pad(encoder.encode(TEXTS), (0, 0, 1, 0))
    tokenizer = create_tokenizer(RQKMEANS, 2).fit(vectors[1:])
    return Items(
        tokens=["[PAD]", *"abcde"],
        titles=["", *TEXTS],
        embeddings={"text": ItemEmbeddings(vectors, encoder)},
        ids={name: ids(seed) for seed, name in enumerate(["", "behavior"])},
        tokenizers={"": tokenizer},
        reports={"": {"items": 5}},
    )


def ids(seed: int) -> SemanticIDs:
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    return SemanticIDs(torch.cat([torch.zeros(1, dtype=torch.long), order]).unsqueeze(1), [5])


def through_a_checkpoint(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_a_checkpoint_carries_all_but_the_vectors(items):
    restored = Items.from_state(through_a_checkpoint(items.state(items.ids)))
    assert (restored.tokens, restored.titles) == (items.tokens, items.titles)
    assert restored.reports == items.reports
    assert restored.ids.keys() == {"", "behavior"}
    for name, own in items.ids.items():
        assert torch.equal(restored.ids[name].codes, own.codes)
    assert restored.embeddings["text"].vectors is None
    new = ["red cream", "violet comb"]
    vectors = items.encode_texts(new)
    assert vectors.shape == (2, 2)
    assert torch.equal(restored.encode_texts(new), vectors)
    assert torch.equal(restored.encode_items("", vectors), items.encode_items("", vectors))
    raw = torch.randn(3, 4)
    assert torch.equal(restored.reduce(raw), items.reduce(raw))


def test_a_checkpoint_carries_the_ids_that_it_is_given(items):
    later = {"": ids(7), "behavior": ids(8)}
    restored = Items.from_state(items.state(later))
    assert torch.equal(restored.ids["behavior"].codes, later["behavior"].codes)
    assert not torch.equal(restored.ids["behavior"].codes, items.ids["behavior"].codes)


def test_what_was_given_encodes_nothing_new(items):
    with pytest.raises(InputError, match="without a tokenizer"):
        items.encode_items("behavior", torch.zeros(1, 2))
    items.embeddings["text"].encoder = ItemEncoder()
    with pytest.raises(InputError, match="not made from texts"):
        items.encode_texts(["red comb"])
    raw = torch.randn(3, 2)
    assert torch.equal(items.reduce(raw), raw)


def test_purity_is_added_to_each_report(items):
    """Hand-worked in tests/tokenizer/quality; here: every set gets its own."""
    for name, own in items.ids.items():
        items.reports[name] = {"levels": [{} for _ in own.codebook_sizes]}
    items.add_purity({1: 3, 2: 1})
    assert all("purity_gain" in items.reports[name]["levels"][0] for name in items.ids)
