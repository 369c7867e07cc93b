"""RPG's equations against loops over users, prefixes, levels and items."""

import pytest
import torch
from recbole.data.interaction import Interaction
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.model.parallel_recommender import best
from recbole_genrec.model.rpg import RPG
from tests.model.test_tiger import CONFIG, catalogue, histories
from tests.small import toy_config, write_toy

N_ITEMS, SIZES, TEMPERATURE = 61, [5, 4, 6], 0.2
SETTINGS = {
    "hidden_size": 8,
    "n_layers": 2,
    "n_heads": 2,
    "inner_size": 12,
    "embedding_dropout_prob": 0.0,
    "attn_dropout_prob": 0.0,
    "hidden_dropout_prob": 0.0,
    "code_temperature": TEMPERATURE,
    "graph_edges": 0,
    "graph_beams": 8,
    "graph_steps": 3,
    "seed": 3,
    "repeat_bias": "none",
    "memory_steps": 0,
    "memory_followers": 3,
    "neighbor_steps": 0,
    "neighbors": 3,
}


def rpg(transitions: torch.Tensor | None = None, **settings) -> RPG:
    """An untrained model over 60 items, with weights that matter everywhere."""
    chosen = torch.randperm(5 * 4 * 6)[: N_ITEMS - 1]
    codes = torch.stack([chosen // 24, chosen // 6 % 4, chosen % 6], dim=1)
    dataset = catalogue(codes, SIZES)
    dataset.before_targets = lambda steps: (
        transitions,
        torch.randint(1, N_ITEMS, (len(transitions),)),
    )
    model = RPG({**CONFIG, **SETTINGS, **settings}, dataset)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def slow_log_probs(model: RPG, history: torch.Tensor) -> list[torch.Tensor]:
    """Log-probabilities `[K_l]` of the codes of each level after one history `[length]`."""
    own = [model.code_embedding.weight[tokens] for tokens in model.ids.tokens[history]]
    vectors = torch.stack([rows.mean(0) for rows in own])
    state = model.transformer(vectors, torch.tensor([len(history)]))[-1]
    levels, first = [], 1
    for level, size in enumerate(SIZES):
        head = state + F.silu(model.heads[level] @ state)
        cosines = [
            F.cosine_similarity(head, model.code_embedding.weight[first + code], dim=0)
            for code in range(size)
        ]
        levels.append((torch.stack(cosines) / TEMPERATURE).log_softmax(0))
        first += size
    return levels


def slow_score(model: RPG, history: torch.Tensor, item: int) -> torch.Tensor:
    levels = slow_log_probs(model, history)
    codes = model.ids.codes[item].tolist()
    return torch.stack([level[code] for level, code in zip(levels, codes, strict=True)]).mean()


@torch.no_grad()
def test_scores_are_mean_log_probabilities_of_the_codes():
    model, interaction = rpg().eval(), histories()
    items, lengths = interaction["item_id_list"], interaction["item_length"]
    scores = model.item_scores(interaction)
    for user in range(4):
        history = items[user, : lengths[user]]
        expected = [slow_score(model, history, item) for item in range(1, N_ITEMS)]
        torch.testing.assert_close(scores[user, 1:], torch.stack(expected), atol=1e-5, rtol=0)
    found, values = model.recommend(interaction, k=60)
    assert torch.equal(found, scores[:, 1:].argsort(dim=1, descending=True, stable=True) + 1)
    assert torch.equal(values, scores.gather(1, found))
    targets = interaction["item_id"]
    assert torch.equal(model.predict(interaction), scores[torch.arange(4), targets])


def test_one_pass_trains_a_target_after_every_item():
    model, interaction = rpg(), histories()
    items, lengths = interaction["item_id_list"], interaction["item_length"]
    scores = []
    for user in range(4):
        whole = [*items[user, : lengths[user]].tolist(), int(interaction["item_id"][user])]
        for end in range(1, len(whole)):
            scores.append(slow_score(model, torch.tensor(whole[:end]), whole[end]))
    loss = model.calculate_loss(interaction)
    torch.testing.assert_close(loss, -torch.stack(scores).mean(), atol=1e-5, rtol=0)
    assert model.num_targets(interaction) == len(scores)
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_heads_start_as_the_state_itself():
    chosen = torch.arange(60)
    codes = torch.stack([chosen // 24, chosen // 6 % 4, chosen % 6], dim=1)
    model = RPG({**CONFIG, **SETTINGS}, catalogue(codes, SIZES))
    states = torch.randn(3, 8)
    expected = F.cosine_similarity(states[:, None], model.code_embedding.weight[1:], dim=-1)
    found = torch.cat(model.code_logits(states), 1) * TEMPERATURE
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_items_with_equal_scores_stand_in_the_order_of_their_ids():
    model, interaction = rpg().eval(), histories()
    model.code_embedding.weight.fill_(1.0)
    items, _ = model.recommend(interaction, k=7)
    assert torch.equal(items, torch.arange(1, 8).expand(4, -1))
    allowed = torch.tensor([9, 3, 60, 4])
    items, scores = model.recommend(interaction, k=5, allowed=allowed)
    assert torch.equal(items, torch.tensor([3, 4, 9, 60, 0]).expand(4, -1))
    assert (scores[:, 4] == -torch.inf).all() and scores[:, :4].isfinite().all()


@pytest.mark.parametrize("k", [1, 3, 10, 20, 25])
def test_the_best_are_those_of_a_stable_sort(k):
    scores = torch.randint(0, 6, (50, 20)).float()
    scores[torch.rand(50, 20) < 0.2] = -torch.inf
    columns, values = best(scores, k)
    expected = scores.sort(dim=1, descending=True, stable=True)
    assert torch.equal(columns, expected.indices[:, :k])
    assert torch.equal(values, expected.values[:, :k])


@torch.no_grad()
def test_an_added_item_has_the_score_of_its_codes():
    model, interaction = rpg().eval(), histories()
    taken = set(map(tuple, model.ids.codes[1:].tolist()))
    free = next(c for c in torch.cartesian_prod(*map(torch.arange, SIZES)).tolist()
                if tuple(c) not in taken)  # fmt: skip
    model.ids.append(torch.tensor([free]))
    assert model.item_scores(interaction).shape == (4, N_ITEMS + 1)
    history = interaction["item_id_list"][0]
    expected = slow_score(model, history, N_ITEMS)
    torch.testing.assert_close(model.item_scores(interaction)[0, -1], expected)
    reads_it = Interaction(
        {"item_id_list": torch.tensor([[N_ITEMS]]), "item_length": torch.tensor([1])}
    )
    assert model.item_scores(reads_it).isfinite().all()


@torch.no_grad()
def test_scores_are_explained():
    model, interaction = rpg(repeat_bias="learned").eval(), histories()
    items, scores = model.recommend(interaction, 60)
    parts = model.explain(interaction, items)
    assert list(parts) == ["level 1", "level 2", "level 3", "repeat bias"]
    torch.testing.assert_close(sum(parts.values()), scores, atol=1e-5, rtol=1e-5)


def test_heads_must_divide_the_width(tmp_path):
    config = toy_config("RPG", write_toy(tmp_path), hidden_size=10, n_heads=4)
    with pytest.raises(InputError, match=r"hidden_size should be a multiple of n_heads \[4\]"):
        RPG.check_config(config)
