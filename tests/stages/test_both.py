"""Semantic IDs that are made of texts and of the item vectors of a sequential model."""

import numpy as np
import pytest

from recbole_genrec.errors import InputError
from recbole_genrec.inference import Recommender
from recbole_genrec.items.needs import BOTH, Embeddings, Tokens, main_set
from recbole_genrec.stages.both import BothEmbeddings
from recbole_genrec.stages.collaborative import CollaborativeEmbeddings
from recbole_genrec.stages.plan import Plan
from recbole_genrec.stages.text import ReadItems, TextEmbeddings
from tests.small import SMALL_T5, new_trainer, prepare, toy_config, write_toy


@pytest.fixture
def given(toy):
    """Settings that bring both embeddings from files; and these `[n, 6]`, `[n, 5]`."""
    text_file, texts = toy.write_embeddings(dim=6)
    teacher_file, vectors = toy.write_embeddings(dim=5, file="teacher.npz", seed=2)
    settings = {"item_embedding_file": text_file, "teacher_embedding_file": teacher_file}
    return settings, texts, vectors


def directions(rows):
    centered = rows - rows.mean(0)
    return centered / np.linalg.norm(centered, axis=1, keepdims=True)


def test_each_side_counts_by_its_direction_from_the_mean(toy, given):
    settings, texts, vectors = given
    items = toy.run(Tokens("", BOTH), **settings)
    both = items.embeddings[BOTH].vectors
    assert not both[0].any()
    expected = np.concatenate([directions(texts), directions(vectors)], 1)
    np.testing.assert_allclose(both[1:].numpy(), expected, atol=1e-6)
    assert items.tokenizers[""].dim == 11


def test_they_come_after_both_sides(toy):
    stages = Plan(toy.settings(), toy.dataset, [Tokens("", BOTH), Embeddings("text")]).stages
    expected = [ReadItems, TextEmbeddings, CollaborativeEmbeddings, BothEmbeddings]
    assert [type(stage) for stage in stages[:-1]] == expected


def test_other_vectors_of_either_side_are_other_codes(toy, given, fits):
    settings, _, vectors = given
    toy.run(Tokens("", BOTH), **settings)
    toy.run(Tokens("", BOTH), **settings)
    assert fits == ["RQKMeans"]
    np.savez(settings["teacher_embedding_file"], ids=toy.tokens, embeddings=vectors[::-1])
    toy.run(Tokens("", BOTH), **settings)
    assert fits == ["RQKMeans"] * 2


@pytest.mark.parametrize("source", ["text", "collaborative", "both"])
def test_the_setting_decides(toy, given, source):
    settings, texts, vectors = given
    need = main_set({"id_embeddings": source})
    dims = {"text": 6, "collaborative": 5, "both": 11}
    assert toy.run(need, **settings).tokenizers[""].dim == dims[source]


@pytest.mark.parametrize("model", ["TIGER", "SemanticSASRec"])
def test_a_model_trains_on_them_and_says_what_new_items_lack(tmp_path, model):
    sizes = SMALL_T5 if model == "TIGER" else {"hidden_size": 8, "inner_size": 8}
    teacher = {"teacher_epochs": 1, "teacher_hidden_size": 8, "codebook_sizes": [4, 4]}
    made = {"id_embeddings": BOTH, "item_text_fields": ["title"], "tokenizer": "RQKMeans"}
    config = toy_config(model, write_toy(tmp_path), **sizes, **teacher, **made)
    trainer = new_trainer(prepare(config))
    items = trainer.model.items
    assert items.tokenizers[""].dim == items.embeddings["text"].vectors.shape[1] + 8
    recommender = Recommender(trainer.model)
    message = f"^new items need text and collaborative embeddings .* {model}, found those of text$"
    with pytest.raises(InputError, match=message):
        recommender.add_items(["new"], texts=["word1"])
