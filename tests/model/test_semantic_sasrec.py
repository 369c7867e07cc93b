"""SemanticSASRec's equations against loops over users, prefixes and items."""

import json
from math import prod

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec import Recommender
from recbole_genrec.errors import InputError
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.model import semantic_sasrec
from recbole_genrec.model.semantic_sasrec import SemanticSASRec
from recbole_genrec.tokenizer.collision import resolve_collisions
from recbole_genrec.tokenizer.rqkmeans import RQKMeans
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs
from tests.model.slow_neighbors import slow_mean
from tests.model.test_tiger import CONFIG, catalogue, histories
from tests.resume_cases import SETTINGS as RUNS
from tests.small import new_trainer, prepare, toy_config, write_toy

N_ITEMS, SIZES = 61, [5, 4, 6]
PARTS = [["own", "codes"], ["own"], ["codes"], ["text"], ["own", "text"], ["own", "codes", "text"]]
PARTS += [["own", "neighbors"], ["own", "codes", "text", "neighbors"]]
SETTINGS = {
    "hidden_size": 8,
    "n_layers": 2,
    "n_heads": 2,
    "inner_size": 12,
    "embedding_dropout_prob": 0.0,
    "attn_dropout_prob": 0.0,
    "hidden_dropout_prob": 0.0,
    "item_vectors": ["own", "codes"],
    "shared_vectors": True,
    "further_ids": None,
    "own_vector_dropout": 0.0,
    "gated": False,
    "filter_weight": 0.0,
    "contrast_weight": 0.0,
    "contrast_temperature": 0.1,
    "code_loss_weight": 0.0,
    "recommender_distillation_weight": 0.0,
    "distillation_temperature": 0.07,
    "sampled_items": "auto",
    "index_from": 1000,
    "repeat_bias": "learned",
    "memory_steps": 0,
    "memory_followers": 3,
    "neighbor_steps": 0,
    "neighbors": 3,
}
KMEANS = {
    "codebook_sizes": [5, 4],
    "tokenizer_kmeans_iterations": 2,
    "tokenizer_kmeans_sample": 30,
    "tokenizer_balanced": False,
    "seed": 0,
}


def catalogue_of(sizes: list[int] = SIZES):
    """60 items with random codes."""
    codes = torch.randperm(prod(sizes))[: N_ITEMS - 1]
    rest = [codes // prod(sizes[level + 1 :]) % size for level, size in enumerate(sizes)]
    return catalogue(torch.stack(rest, dim=1), sizes)


def model_of(dataset=None, **settings) -> SemanticSASRec:
    """An untrained model, with weights that matter everywhere."""
    model = SemanticSASRec({**CONFIG, **SETTINGS, **settings}, dataset or catalogue_of())
    for _, parameter in sorted(model.named_parameters()):
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def with_texts(dataset):
    """The items with embeddings of texts that they do not have."""
    vectors = F.pad(torch.randn(N_ITEMS - 1, 6), (0, 0, 1, 0))
    dataset.items.embeddings["text"] = ItemEmbeddings(vectors, ItemEncoder())
    return dataset


def slow_vector(model: SemanticSASRec, item: int, source=None) -> torch.Tensor:
    parts, vector = source or model.item_vectors, torch.zeros(8)
    if parts.own is not None:
        vector = vector + parts.own.weight[item]
    if parts.codes is not None:
        for token in model.ids.tokens[item]:
            vector = vector + parts.codes.weight[token]
    if parts.projection is not None and item:
        text = model.items.embeddings["text"].vectors[item]
        vector = vector + parts.projection.weight @ (text / text.square().sum().sqrt())
    if parts.neighbors is not None and item:
        texts, own = model.items.embeddings["text"].vectors, parts.own.weight
        vector = vector + parts.neighbors.weight * slow_mean(texts, item, 3, own)
    return vector


def slow_logits(model: SemanticSASRec, history: list[int]) -> torch.Tensor:
    """Logits `[n_items - 1]` of the real items after a history."""
    vectors = torch.stack([slow_vector(model, item, model.input_vectors) for item in history])
    state = model.transformer(vectors, torch.tensor([len(history)]))[-1]
    logits = [state @ slow_vector(model, item) for item in range(N_ITEMS)]
    if model.repeat_bias is not None:
        for back, item in enumerate(reversed(history)):
            logits[item] = logits[item] + 10 * model.repeat_bias.weight[back]
    return torch.stack(logits[1:])


@pytest.mark.parametrize("uses", PARTS, ids="+".join)
@pytest.mark.parametrize("repeat_bias", ["learned", "none"])
@torch.no_grad()
def test_scores_of_all_items(uses, repeat_bias):
    dataset = with_texts(catalogue_of())
    model, interaction = model_of(dataset, item_vectors=uses, repeat_bias=repeat_bias), histories()
    interaction["item_id_list"][0, 3] = interaction["item_id_list"][0, 1]  # a repeated item
    scores = model.item_scores(interaction)
    for user, (items, length) in enumerate(
        zip(interaction["item_id_list"], interaction["item_length"], strict=True)
    ):
        expected = slow_logits(model, items[:length].tolist())
        torch.testing.assert_close(scores[user, 1:], expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "separate"])
@pytest.mark.parametrize("logits_at_a_time", [2**26, 3 * N_ITEMS], ids=["whole", "in chunks"])
def test_one_pass_trains_a_target_after_every_item(logits_at_a_time, shared, monkeypatch):
    monkeypatch.setattr(semantic_sasrec, "SCORES", logits_at_a_time)
    model, interaction = model_of(shared_vectors=shared), histories()
    losses = []
    for items, length, target in zip(
        interaction["item_id_list"],
        interaction["item_length"],
        interaction["item_id"],
        strict=True,
    ):
        sequence = [*items[:length].tolist(), int(target)]
        for end in range(1, len(sequence)):
            logits = slow_logits(model, sequence[:end])
            losses.append(F.cross_entropy(logits, torch.tensor(sequence[end] - 1)))
    expected = torch.stack(losses).mean()
    loss = model.calculate_loss(interaction)
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-5)
    slow = torch.autograd.grad(expected, list(model.parameters()))
    fast = torch.autograd.grad(loss, list(model.parameters()))
    for ours, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_new_item_lives_from_its_codes_alone():
    model, interaction = model_of(), histories()
    vectors = torch.randn(30, 4)
    model.items.tokenizers[""] = RQKMeans(KMEANS, 4).fit(vectors)
    model.add_items(["new"], ["a new one"], {"text": vectors[:1]})
    expected = model.item_vectors.codes.weight[model.ids.tokens[-1]].sum(0)
    assert torch.equal(model.item_vectors()[-1], expected)
    assert N_ITEMS in model.recommend(interaction, 61)[0]
    fresh = model_of()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.item_vectors(), model.item_vectors())


@torch.no_grad()
def test_new_items_live_from_their_texts_too():
    """In both tables of separate vectors; a restored model takes their texts over."""
    settings = {"item_vectors": ["own", "codes", "text"], "shared_vectors": False}
    model, rows = model_of(with_texts(catalogue_of()), **settings), torch.randn(30, 6)
    model.items.tokenizers[""] = RQKMeans(KMEANS, 6).fit(rows)
    model.add_items(["new", "newer"], ["a new one", "one more"], {"text": rows[:2]})
    for vectors in (model.input_vectors, model.item_vectors):
        for item, text in enumerate(rows[:2], N_ITEMS):
            codes = vectors.codes.weight[model.ids.tokens[item]].sum(0)
            expected = codes + vectors.projection.weight @ (text / text.norm())
            torch.testing.assert_close(vectors()[item], expected)
    without_texts = model_of(**settings)
    without_texts.load_state_dict(model.state_dict())
    batch = histories()
    assert torch.equal(without_texts.item_scores(batch), model.item_scores(batch))


@torch.no_grad()
def test_new_items_with_the_same_codes_tie_in_the_order_of_their_numbers(caplog):
    """Known items do not, whose own vectors differ; and a model without own vectors is refused."""
    codes = torch.zeros(N_ITEMS - 1, 2, dtype=torch.long)
    dataset = catalogue_of()
    shared = SemanticIDs(F.pad(codes, (0, 0, 1, 0)), [5, 4], unique=False)
    dataset.items.ids[""], vectors = shared, torch.randn(30, 4)
    model = model_of(dataset)
    model.items.tokenizers[""] = RQKMeans(KMEANS, 4).fit(vectors)
    assert not model.item_vectors.ties(N_ITEMS - 1)
    rows = torch.stack([vectors[0], vectors[0], vectors[1], vectors[0]])
    rows[2] = vectors[
        (model.items.encode_items("", vectors) != model.items.encode_items("", vectors[:1]))
        .any(1)
        .nonzero()[0, 0]
    ]
    with caplog.at_level("WARNING"):
        model.add_items([*"abcd"], [*"abcd"], {"text": rows})
    assert "3 new items tie" in caplog.text
    assert torch.equal(model.ids.codes[N_ITEMS], model.ids.codes[N_ITEMS + 3])
    items, scores = model.recommend(histories(), N_ITEMS + 3)
    for row, own in zip(items.tolist(), scores, strict=True):
        places = [row.index(N_ITEMS + number) for number in (0, 1, 3)]
        assert places == list(range(places[0], places[0] + 3))
        assert own[places].unique().numel() == 1
    model = model_of(item_vectors=["own"])  # which says nothing of new items
    model.items.tokenizers[""] = RQKMeans(KMEANS, 4).fit(vectors)
    model.add_items(["a"], ["a"], {"text": vectors[:1]})
    assert not model.item_vectors.ties(1) and model.item_vectors.ties(2) == 0
    model.add_items([*"bcd"], [*"bcd"], {"text": vectors[1:4]})
    assert "3 new items tie, as nothing in item_vectors ['own'] tells them apart" in caplog.text
    assert SemanticSASRec.needs({**CONFIG, **SETTINGS, "item_vectors": ["codes"]})[0].unique
    assert not SemanticSASRec.needs({**CONFIG, **SETTINGS})[0].unique


@torch.no_grad()
def test_new_items_have_codes_in_sets_whose_embeddings_they_lack():
    """Those of the item that is nearest by its text, moved to the next that are free."""
    vectors = torch.randn(60, 4)
    tokenizer = RQKMeans(KMEANS, 4).fit(vectors)
    codes, sizes = resolve_collisions(tokenizer.encode(vectors), [5, 4], "append")
    dataset = catalogue(codes, sizes)
    dataset.items.tokenizers[""] = tokenizer
    dataset.items.ids["collaborative"] = catalogue_of([8, 9]).items.ids[""]
    model = model_of(dataset, further_ids=["collaborative"])
    known = model.tables()["collaborative"].codes
    model.add_items(["new"], ["a new one"], {"text": vectors[7:8]})
    same_text = (codes[:, :2] == codes[7, :2]).all(1).nonzero().flatten() + 1
    first = known[same_text[0]]
    new = model.tables()["collaborative"].codes[-1]
    assert new[0] == first[0] and not (known == new).all(1).any()
    assert not model.item_vectors.own.weight[-1].any()
    assert N_ITEMS in model.recommend(histories(), 61)[0][0]


@pytest.mark.parametrize("uses", PARTS, ids="+".join)
@torch.no_grad()
def test_scores_are_explained(uses):
    dataset = with_texts(catalogue_of())
    dataset.items.ids["collaborative"] = catalogue_of([8, 9]).items.ids[""]
    before, after = torch.randint(1, N_ITEMS, (400, 2)), torch.randint(1, N_ITEMS, (400,))
    dataset.before_targets = lambda steps: (before, after)
    settings = {"further_ids": ["collaborative"], "memory_steps": 2, "item_vectors": uses}
    model, interaction = model_of(dataset, **settings), histories()
    items, scores = model.recommend(interaction, 60)
    parts = model.explain(interaction, items)
    torch.testing.assert_close(sum(parts.values()), scores, atol=1e-4, rtol=1e-5)
    own, text = ["own vector"] * ("own" in uses), ["text"] * ("text" in uses)
    near = ["own vectors of neighbors"] * ("neighbors" in uses)
    levels = ["level 1", "level 2", "level 3", "collaborative level 1", "collaborative level 2"]
    expected = [*own, *levels * ("codes" in uses), *text, *near, "repeat bias", "memory"]
    assert list(parts) == expected
    seen = (items.unsqueeze(2) == interaction["item_id_list"].unsqueeze(1)).any(2)
    assert torch.equal(parts["repeat bias"] != 0, seen)
    if "codes" in uses:
        state = model.last_states(interaction)[0][0]
        token = model.ids.tokens[items[0, 3], 1]
        expected = state @ model.item_vectors.codes.weight[token]
        torch.testing.assert_close(parts["level 2"][0, 3], expected)


@torch.no_grad()
def test_own_vectors_are_left_out_in_training_alone():
    model = model_of(own_vector_dropout=0.7, gated=True)
    whole = model.item_vectors()
    own = model.item_vectors.own.weight
    left = model.train().item_vectors() - (whole - own)
    kept = left.abs().sum(1) > 1e-4
    torch.testing.assert_close(left[kept], own[kept], atol=1e-5, rtol=1e-5)
    assert 0 < kept.sum() < 0.6 * N_ITEMS
    assert model.calculate_loss(histories()).isfinite()


@torch.no_grad()
def test_code_vectors_of_all_sets_are_added():
    dataset, further = catalogue_of(), catalogue_of([8, 9])
    dataset.items.ids["collaborative"] = further.items.ids[""]
    model = model_of(dataset, further_ids=["collaborative"])
    first, second = model.tables().values()
    vectors = model.item_vectors.codes.weight
    assert len(vectors) == (1 + 5 + 4 + 6) + (1 + 8 + 9)
    for item in range(N_ITEMS):
        expected = model.item_vectors.own.weight[item].clone()
        for token in first.tokens[item]:
            expected += vectors[token]
        for token in second.tokens[item]:
            expected += vectors[16 + token]
        torch.testing.assert_close(model.item_vectors()[item], expected)
    items = torch.tensor([7, 3, 7])
    assert torch.equal(model.item_vectors(items), model.item_vectors()[items])


def test_several_sets_from_the_stages_to_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    teacher = {
        "teacher_epochs": 1,
        "teacher_hidden_size": 8,
        "teacher_config": {"n_layers": 1, "inner_size": 8},
    }
    settings = {
        **RUNS["SemanticSASRec"],
        **teacher,
        "further_ids": ["collaborative", "random", "given"],
        "collaborative_codebook_sizes": [5, 4, 3],
        "random_tokenizer": "Random",
        "given_sid_file": str(tmp_path / "given.json"),
    }
    (tmp_path / "given.json").write_text(json.dumps({f"i{n}": [n % 7, n // 7] for n in range(40)}))
    run = prepare(toy_config("SemanticSASRec", write_toy(tmp_path, missing=False), **settings))
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    codes = trainer.model.semantic_codes()
    assert list(codes) == ["", "collaborative", "random", "given"]
    assert codes["collaborative"].shape[1] == 4  # with the level that tells collisions apart
    fresh = new_trainer(run)
    assert fresh.evaluate(run.test, model_file=trainer.saved_model_file) == trainer.evaluate(
        run.test
    )
    recommender = Recommender.from_checkpoint(trainer.saved_model_file, device="cpu")
    recommender.add_items(["new"], texts=["word1 word1 tail, brand1"])
    given = recommender.model.semantic_codes()["given"]
    assert given[-1].tolist() == [5, 5]  # free, beside the nearest item's
    (answer,) = recommender.recommend([["i1", "new"]], explain=True)
    assert len(answer) == 10
    for found in answer:
        assert sum(found["parts"].values()) == pytest.approx(found["score"], abs=1e-4)
        assert {"own vector", "level 1", "random level 2", "repeat bias"} <= found["parts"].keys()


def test_sets_that_name_different_items_are_refused(tmp_path):
    path = write_toy(tmp_path, missing=False)
    ids = {f"i{n}": [n % 7, n // 7] for n in range(40)}
    (tmp_path / "one.json").write_text(json.dumps(ids))
    ids["other"] = ids.pop("i3")
    (tmp_path / "two.json").write_text(json.dumps(ids))
    settings = {
        **RUNS["SemanticSASRec"],
        "sid_file": str(tmp_path / "one.json"),
        "further_ids": ["second"],
        "second_sid_file": str(tmp_path / "two.json"),
    }
    config = toy_config("SemanticSASRec", path, **settings)
    with pytest.raises(InputError, match=r"two.json: no semantic ID for 1 of \d+ items: i3"):
        prepare(config)
