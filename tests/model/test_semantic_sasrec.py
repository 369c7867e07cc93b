"""SemanticSASRec's equations against loops over users, prefixes and items."""

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.model import semantic_sasrec
from recbole_genrec.model.repeat_bias import RepeatBias, items_before
from recbole_genrec.model.semantic_sasrec import SemanticSASRec
from recbole_genrec.tokenizer.rqkmeans import RQKMeans
from tests.model.test_tiger import CONFIG, catalogue, histories
from tests.small import toy_config, write_toy

N_ITEMS, SIZES = 61, [5, 4, 6]
SETTINGS = {
    "hidden_size": 8,
    "n_layers": 2,
    "n_heads": 2,
    "inner_size": 12,
    "embedding_dropout_prob": 0.0,
    "attn_dropout_prob": 0.0,
    "hidden_dropout_prob": 0.0,
    "item_vectors": "both",
    "repeat_bias": True,
}


def model_of(**settings) -> SemanticSASRec:
    """An untrained model over 60 items, with weights that matter everywhere."""
    chosen = torch.randperm(5 * 4 * 6)[: N_ITEMS - 1]
    codes = torch.stack([chosen // 24, chosen // 6 % 4, chosen % 6], dim=1)
    model = SemanticSASRec({**CONFIG, **SETTINGS, **settings}, catalogue(codes, SIZES))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def slow_vector(model: SemanticSASRec, item: int) -> torch.Tensor:
    vector = torch.zeros(8)
    if model.own_vectors is not None:
        vector = vector + model.own_vectors.weight[item]
    if model.code_vectors is not None:
        for token in model.ids.tokens[item]:
            vector = vector + model.code_vectors.weight[token]
    return vector


def slow_logits(model: SemanticSASRec, history: list[int]) -> torch.Tensor:
    """Logits `[n_items - 1]` of the real items after a history."""
    vectors = torch.stack([slow_vector(model, item) for item in history])
    state = model.transformer(vectors, torch.tensor([len(history)]))[-1]
    logits = [state @ slow_vector(model, item) for item in range(N_ITEMS)]
    if model.repeat_bias is not None:
        for back, item in enumerate(reversed(history)):
            logits[item] = logits[item] + 10 * model.repeat_bias.weight[back]
    return torch.stack(logits[1:])


@pytest.mark.parametrize("uses", ["both", "own", "codes"])
@pytest.mark.parametrize("repeat_bias", [True, False])
@torch.no_grad()
def test_scores_of_all_items(uses, repeat_bias):
    model, interaction = model_of(item_vectors=uses, repeat_bias=repeat_bias), histories()
    interaction["item_id_list"][0, 3] = interaction["item_id_list"][0, 1]  # a repeated item
    scores = model.item_scores(interaction)
    for user, (items, length) in enumerate(
        zip(interaction["item_id_list"], interaction["item_length"], strict=True)
    ):
        expected = slow_logits(model, items[:length].tolist())
        torch.testing.assert_close(scores[user, 1:], expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("logits_at_a_time", [2**26, 3 * N_ITEMS], ids=["whole", "in chunks"])
def test_one_pass_trains_a_target_after_every_item(logits_at_a_time, monkeypatch):
    monkeypatch.setattr(semantic_sasrec, "LOGITS", logits_at_a_time)
    model, interaction = model_of(), histories()
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


def test_the_bias_counts_back_from_the_last_item():
    bias = RepeatBias(3)
    with torch.no_grad():
        bias.weight.copy_(torch.tensor([0.1, 0.2, 0.3]))
    seen = items_before(torch.tensor([2, 1, 2]), torch.tensor([2, 1]))
    assert seen.tolist() == [[2, 0], [1, 2], [2, 0]]
    logits = bias(torch.zeros(3, 4), seen)
    expected = torch.tensor([[0, 0, 1.0, 0], [0, 1.0, 2.0, 0], [0, 0, 1.0, 0]])
    torch.testing.assert_close(logits, expected)


@torch.no_grad()
def test_a_new_item_lives_from_its_codes_alone():
    model, interaction = model_of(), histories()
    vectors = torch.randn(30, 4)
    settings = {
        "codebook_sizes": [5, 4],
        "tokenizer_kmeans_iterations": 2,
        "tokenizer_kmeans_sample": 30,
        "tokenizer_balanced": False,
        "seed": 0,
    }
    model.items.tokenizers[""] = RQKMeans(settings, 4).fit(vectors)
    model.add_items(["new"], ["a new one"], {"text": vectors[:1]})
    expected = model.code_vectors.weight[model.ids.tokens[-1]].sum(0)
    assert torch.equal(model.item_vectors()[-1], expected)
    assert N_ITEMS in model.recommend(interaction, 61)[0]
    fresh = model_of()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.item_vectors(), model.item_vectors())


def test_a_width_that_heads_do_not_divide_is_refused(tmp_path):
    config = toy_config("SemanticSASRec", write_toy(tmp_path), hidden_size=30, n_heads=4)
    with pytest.raises(InputError, match=r"hidden_size should be a multiple of n_heads \[4\]"):
        SemanticSASRec.check_config(config)
