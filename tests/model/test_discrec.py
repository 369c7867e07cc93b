"""DiscRec's embedding against loops over tokens and heads, its fast search against the default."""

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.model.discrec import DiscRec, TwoViews
from recbole_genrec.model.generative_recommender import GenerativeRecommender, TargetView
from tests.model.test_tiger import CONFIG, N_ITEMS, catalogue, histories
from tests.small import toy_config, write_toy

D, HEADS = 8, 2


def discrec(**settings) -> DiscRec:
    """An untrained model over 60 items with 3 levels of 5 codes, whose views both matter."""
    chosen = torch.randperm(5**3)[: N_ITEMS - 1]
    codes = torch.stack([chosen // 25, chosen // 5 % 5, chosen % 5], dim=1)
    settings = {"item_num_heads": 2, "item_d_ff": 12, **settings}
    model = DiscRec({**CONFIG, **settings}, catalogue(codes, [5, 5, 5])).eval()
    torch.nn.init.normal_(model.t5.embedding.weight, std=3.0)
    for views in (model.history_views, model.target_views):
        views.gate.data *= 0.05
    return model


def slow_views(views: TwoViews, item: torch.Tensor, causal: bool) -> torch.Tensor:
    """What the T5 reads of the tokens of one item `[l, d]`, token by token."""
    width = D // HEADS
    keys, values = views.kv.weight.chunk(2)
    key_bias, value_bias = views.kv.bias.chunk(2)
    placed = item + views.place.weight[: len(item)]
    found = []
    for number, e in enumerate(item):
        q = F.layer_norm(placed[number], (D,), views.query_norm.weight, views.query_norm.bias, 1e-8)
        seen = placed[: number + 1] if causal else placed
        attended = []
        for head in range(HEADS):
            own = slice(head * width, (head + 1) * width)
            query = views.q.weight[own] @ q + views.q.bias[own]
            scores = [query @ (keys[own] @ x + key_bias[own]) / width**0.5 for x in seen]
            shares = torch.stack(scores).softmax(0)
            parts = [
                share * (values[own] @ x + value_bias[own])
                for share, x in zip(shares, seen, strict=True)
            ]
            attended.append(torch.stack(parts).sum(0))
        h = q + torch.cat(attended)
        n = F.layer_norm(h, (D,), views.ff_norm.weight, views.ff_norm.bias, 1e-8)
        c = n + views.wo.weight @ (views.wi.weight @ n + views.wi.bias).relu() + views.wo.bias
        semantic, collaborative = torch.stack([e @ views.gate[0], c @ views.gate[1]]).softmax(0)
        found.append(semantic * e + collaborative * c)
    return torch.stack(found)


@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_views_are_those_of_the_equations(causal):
    views = TwoViews(4, D, HEADS, 12, dropout_rate=0.1, causal=causal).eval()
    views.gate.mul_(0.3)
    for length in (1, 3, 4):
        items = torch.randn(5, length, D)
        expected = torch.stack([slow_views(views, item, causal) for item in items])
        torch.testing.assert_close(views(items), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["bidirectional", "causal"])
@torch.no_grad()
def test_fast_search_equals_the_default_search_and_the_scores_of_all_items(attention):
    model, interaction = discrec(history_attention=attention), histories()
    items, scores = model.recommend(interaction, k=60)
    default = GenerativeRecommender.recommend(model, interaction, k=60)
    assert torch.equal(items, default[0])
    torch.testing.assert_close(scores, default[1], atol=1e-4, rtol=0)
    every = []
    for item in range(1, N_ITEMS):
        interaction.update(type(interaction)({"item_id": torch.full((4,), item)}))
        every.append(model.predict(interaction))
    expected = torch.stack(every, 1).sort(descending=True)
    assert torch.equal(items, expected.indices + 1)
    torch.testing.assert_close(scores, expected.values, atol=1e-4, rtol=0)


@torch.no_grad()
def test_fast_search_with_few_beams_equals_the_default_search():
    model, interaction = discrec(beam_size=4), histories()
    items, scores = model.recommend(interaction, k=4)
    default = GenerativeRecommender.recommend(model, interaction, k=4)
    assert torch.equal(items, default[0])
    torch.testing.assert_close(scores, default[1], atol=1e-4, rtol=0)


@torch.no_grad()
def test_an_item_has_the_same_views_in_every_history():
    model, interaction = discrec(), histories()
    history, lengths = model.history(interaction)
    items, _ = model.history_items(interaction)
    tokens = model.t5.embedding(model.ids.tokens[items])
    torch.testing.assert_close(history, model.history_views(tokens).flatten(0, 1))
    assert torch.equal(lengths, interaction["item_length"] * 3)


@torch.no_grad()
def test_a_model_in_training_recommends_without_dropout():
    model, interaction = discrec(dropout_rate=0.4), histories()
    expected = model.recommend(interaction, k=10)
    items, scores = model.train().recommend(interaction, k=10)
    assert torch.equal(items, expected[0]) and torch.equal(scores, expected[1])
    assert model.training


def test_loss_reaches_both_views_of_both_stacks():
    model, interaction = discrec(dropout_rate=0.0), histories()
    labels = model.ids.tokens[interaction["item_id"]]
    loss = model.calculate_loss(interaction)
    torch.testing.assert_close(loss, -model.predict(interaction).mean() / 3, atol=1e-5, rtol=0)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    inputs = F.pad(labels[:, :-1], (1, 0))
    whole = model.decode(model.encode(interaction), inputs, TargetView(None))
    start = model.decode(model.encode(interaction), inputs[:, :1], TargetView(None))
    torch.testing.assert_close(whole[:, :1], start, atol=1e-5, rtol=1e-5)  # later codes unseen
    assert model.decode_without_history(inputs).shape == whole.shape


def test_heads_must_divide_the_width(tmp_path):
    config = toy_config("DiscRec", write_toy(tmp_path), d_model=10, item_num_heads=4)
    with pytest.raises(InputError, match=r"d_model should be a multiple of item_num_heads \[4\]"):
        DiscRec.check_config(config)
