"""The repeat bias of item scores, alone and in models of RecBole."""

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.model.baselines_with_repeat_bias import BSARecRepeatBias, SASRecRepeatBias
from recbole_genrec.model.bsarec import BSARec
from recbole_genrec.model.histories import items_before
from recbole_genrec.model.repeat_bias import RepeatBias
from recbole_genrec.model.sasrec_one_pass import SASRecOnePass
from recbole_genrec.model.sparse_scores import SparseScores
from tests.model.test_rpg import N_ITEMS, histories, rpg, slow_score
from tests.model.test_sasrec_one_pass import loss_by_prefixes
from tests.small import new_trainer, prepare, toy_config, write_toy

SMALL = {"n_layers": 1, "hidden_size": 8, "inner_size": 8, "n_heads": 2}


def test_the_bias_counts_back_from_the_last_item():
    bias = RepeatBias(3)
    with torch.no_grad():
        bias.weight.copy_(torch.tensor([0.1, 0.2, 0.3]))
    seen = items_before(torch.tensor([2, 1, 2, 2]), torch.tensor([3, 1]))
    assert seen.tolist() == [[2, 0, 0], [1, 2, 0], [2, 1, 2], [2, 0, 0]]
    scores = bias(seen).add_to(torch.zeros(4, 4))
    expected = [[0, 0, 1.0, 0], [0, 1.0, 2.0, 0], [0, 2.0, 4.0, 0], [0, 0, 1.0, 0]]
    torch.testing.assert_close(scores, torch.tensor(expected))
    torch.testing.assert_close(bias(seen).of(torch.arange(4).expand(4, 4)), scores)


def test_one_number_and_a_mask():
    seen, targets = torch.tensor([[3, 1], [2, 0]]), torch.tensor([1, 1])
    one = RepeatBias(2, "one")
    with torch.no_grad():
        one.weight.fill_(-2.0)
    expected = torch.tensor([[0, -20.0, 0, -20.0], [0, 0, -20.0, 0]])
    assert torch.equal(one(seen).add_to(torch.zeros(2, 4)), expected)
    mask = RepeatBias(2, "mask")
    assert not list(mask.parameters())
    masked = mask(seen).add_to(torch.zeros(2, 4)) == -torch.inf
    assert torch.equal(masked, expected < 0)
    masked = mask(seen, targets).add_to(torch.zeros(2, 4)) == -torch.inf
    assert masked.nonzero().tolist() == [[0, 3], [1, 2]]  # the target of the first row stays


def test_only_items_with_a_column_are_added_to():
    sparse = SparseScores(torch.tensor([[4, 2, 4, 0]]), torch.tensor([[1.0, 2.0, 3.0, 9.0]]))
    columns = torch.tensor([-1, 0, -1, -1, 1])  # of items 1 and 4
    assert sparse.add_to(torch.zeros(1, 2), columns).tolist() == [[0.0, 4.0]]


@pytest.mark.parametrize("number", [1, 9])
def test_what_some_items_get_is_what_they_get_among_all(number):
    """Items that repeat on either side, none at all, and a mask's infinite values."""
    items, asked = torch.randint(8, (50, 30)), torch.randint(12, (50, number))  # 8 to 11: nothing
    values = torch.randn(50, 30, dtype=torch.double, requires_grad=True)
    for scores in (values, values.masked_fill(items == 3, -torch.inf)):
        found = SparseScores(items, scores).of(asked)
        none = torch.zeros(50, 12, dtype=torch.double)
        dense = F.pad(none.scatter_add(1, items, scores)[:, 1:], (1, 0))  # without the padding item
        torch.testing.assert_close(found, dense.gather(1, asked))
        towards = torch.randn(50, number, dtype=torch.double)
        (gradient,) = torch.autograd.grad(found, values, towards, retain_graph=True)
        (expected,) = torch.autograd.grad(
            dense.gather(1, asked), values, towards, retain_graph=True
        )
        torch.testing.assert_close(gradient, expected)


def test_it_moves_as_far_as_a_softmax_needs():
    """Items of the history are 20 ahead, as their own vectors put them, and never the target."""
    bias, seen = RepeatBias(1), torch.tensor([[1], [2]])
    ahead = torch.zeros(2, 4).scatter(1, seen, 20.0)
    optimizer = torch.optim.AdamW(bias.parameters(), lr=1e-3)
    for _ in range(3000):
        optimizer.zero_grad()
        F.cross_entropy(bias(seen).add_to(ahead.clone()), torch.tensor([3, 3])).backward()
        optimizer.step()
    assert 10 * bias.weight.item() < -20


@pytest.fixture
def run(tmp_path, monkeypatch):
    def prepared(model, **settings):
        monkeypatch.chdir(tmp_path)
        return prepare(toy_config(model, write_toy(tmp_path), **SMALL, **settings))

    return prepared


@pytest.mark.parametrize(
    ("ours", "theirs"), [(SASRecRepeatBias, SASRecOnePass), (BSARecRepeatBias, BSARec)]
)
def test_models_of_recbole_get_it(ours, theirs, run):
    prepared = run(ours.__name__)
    model, batch = ours(prepared.config, prepared.train.dataset), next(iter(prepared.train))
    plain = theirs(prepared.config, prepared.train.dataset)
    rest = {k: v for k, v in model.state_dict().items() if k != "repeat_bias.weight"}
    plain.load_state_dict(rest)
    model.eval(), plain.eval()
    assert torch.equal(model.calculate_loss(batch), plain.calculate_loss(batch))
    torch.nn.init.normal_(model.repeat_bias.weight)
    scores = plain.full_sort_predict(batch).clone()
    for row, (items, length) in enumerate(
        zip(batch["item_id_list"], batch["item_length"], strict=True)
    ):
        for back, item in enumerate(items[:length].flip(0)):
            scores[row, item] += 10 * model.repeat_bias.weight[back]
    torch.testing.assert_close(model.full_sort_predict(batch), scores)
    targets = batch["item_id"]
    expected = scores[torch.arange(len(targets)), targets]
    torch.testing.assert_close(model.predict(batch), expected)
    if theirs is BSARec:
        torch.testing.assert_close(model.calculate_loss(batch), F.cross_entropy(scores, targets))


def test_in_one_pass_each_target_sees_its_own_bias(run):
    prepared = run("SASRecRepeatBias")
    model = SASRecRepeatBias(prepared.config, prepared.train.dataset).eval()
    torch.nn.init.normal_(model.repeat_bias.weight)
    batch = next(iter(prepared.train))
    torch.testing.assert_close(model.calculate_loss(batch), loss_by_prefixes(model, batch))


def test_a_fitted_bias_leaves_all_else_as_trained_without_it(run):
    weights = {}
    for kind in ("none", "fitted"):
        prepared = run("SASRecRepeatBias", repeat_bias=kind)
        trainer = new_trainer(prepared)
        trainer.fit(prepared.train, prepared.valid)
        weights[kind] = trainer.model.state_dict()
    bias = weights["fitted"].pop("repeat_bias.weight")
    assert bias.ne(0).any()
    assert all(
        torch.equal(weights["none"][name], found) for name, found in weights["fitted"].items()
    )


@torch.no_grad()
def test_rpg_adds_it_to_the_mean_log_probability():
    model, interaction = rpg(repeat_bias="learned").eval(), histories()
    scores = model.item_scores(interaction)
    for user in range(4):
        history = interaction["item_id_list"][user, : interaction["item_length"][user]]
        for item in (*history.tolist(), 7):
            expected = slow_score(model, history, item)
            for back, seen in enumerate(history.flip(0)):
                expected = expected + 10 * model.repeat_bias.weight[back] * (seen == item)
            torch.testing.assert_close(scores[user, item], expected, atol=1e-4, rtol=1e-4)


def test_in_rpg_only_the_bias_learns_from_items():
    model, interaction = rpg(repeat_bias="learned"), histories()
    plain = rpg()
    plain.load_state_dict(model.state_dict(), strict=False)
    codes, items = model.calculate_loss(interaction)
    torch.testing.assert_close(codes, plain.calculate_loss(interaction))
    with torch.no_grad():
        logits = 3 * model.item_scores(interaction)[:, 1:]  # of the product of all levels
    expected = F.cross_entropy(logits, interaction["item_id"] - 1)
    torch.testing.assert_close(items, expected, atol=1e-4, rtol=1e-4)
    items.backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {"repeat_bias.weight"}


def test_masked_items_are_in_no_list():
    model, interaction = rpg(repeat_bias="mask").eval(), histories()
    items, scores = model.recommend(interaction, k=N_ITEMS - 1)
    for user in range(4):
        history = set(
            interaction["item_id_list"][user, : interaction["item_length"][user]].tolist()
        )
        found = items[user][items[user] > 0].tolist()
        assert set(found) == set(range(1, N_ITEMS)) - history
        assert (scores[user, len(found) :] == -torch.inf).all()


def test_another_loss_is_refused(tmp_path):
    config = toy_config("SASRecRepeatBias", write_toy(tmp_path), loss_type="BPR")
    with pytest.raises(InputError, match=r"loss_type should be CE, .* found \[BPR\]"):
        SASRecRepeatBias.check_config(config)


def test_a_kind_that_there_is_not(tmp_path):
    with pytest.raises(InputError, match="repeat_bias should be .*learned.*, found .*lerned"):
        toy_config("SemanticSASRec", write_toy(tmp_path), repeat_bias="lerned")
