"""The transition memory against counts in plain Python."""

from collections import Counter
from math import log

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.errors import InputError
from recbole_genrec.model.semantic_sasrec import SemanticSASRec
from recbole_genrec.model.transition_memory import TransitionMemory
from tests.model.test_rpg import histories, rpg
from tests.model.test_semantic_sasrec import catalogue_of, model_of
from tests.resume_cases import SETTINGS
from tests.small import new_trainer, prepare, toy_config, write_table, write_toy

N_ITEMS, STEPS, D = 9, 3, 4


def transitions(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ones, some after fewer than three items."""
    before = torch.randint(1, N_ITEMS, (number, STEPS))
    before[torch.arange(STEPS) >= torch.randint(1, STEPS + 1, (number, 1))] = 0
    return before, torch.randint(1, N_ITEMS, (number,))


def slow_counts(before, after) -> Counter:
    """(step, item before, item after) -> how often."""
    counts = Counter()
    for row, item in zip(before.tolist(), after.tolist(), strict=True):
        counts.update((step, anchor, item) for step, anchor in enumerate(row) if anchor)
    return counts


def slow_scores(memory, counts, state, seen, target=None) -> torch.Tensor:
    """What each item gets `[N_ITEMS]`, by the equation."""
    scores = torch.zeros(N_ITEMS)
    weights = memory.weight @ state + memory.bias
    for step, anchor in enumerate(seen[:STEPS]):
        following = {i: n for (s, a, i), n in counts.items() if (s, a) == (step, anchor)}
        most = sorted(following, key=lambda i: (-following[i], i))[: memory.followers]
        for item in most:
            scores[item] += weights[step] * log(1 + following[item] - (item == target))
    return scores


@pytest.fixture
def memory() -> TransitionMemory:
    memory = TransitionMemory(D, N_ITEMS, STEPS, followers=3)
    torch.nn.init.normal_(memory.weight)
    torch.nn.init.normal_(memory.bias)
    return memory


@pytest.mark.parametrize("followers", [1, 3, 20, 10**12])
@torch.no_grad()
def test_scores_are_those_of_the_equation(memory, followers):
    memory.followers = followers
    before, after = transitions(150)
    memory.append(before, after)
    counts, states = slow_counts(before, after), torch.randn(150, D)
    assert len(memory.items) == len(counts)
    for targets in (None, after):
        found = memory(states, before, targets).add_to(torch.zeros(150, N_ITEMS))
        for row in range(150):
            target = None if targets is None else int(targets[row])
            expected = slow_scores(memory, counts, states[row], before[row].tolist(), target)
            torch.testing.assert_close(found[row], expected)
    # a history of one item, and one that is longer than the memory looks back
    for seen in ([[2]], [[2, 3, 4, 5]]):
        found = memory(states[:1], torch.tensor(seen)).add_to(torch.zeros(1, N_ITEMS))
        expected = slow_scores(memory, counts, states[0], seen[0])
        torch.testing.assert_close(found[0], expected)


@torch.no_grad()
def test_what_is_appended_counts_as_if_it_had_been_there(memory):
    before, after = transitions(90)
    memory.append(before[:50], after[:50])
    memory.append(before[50:], after[50:])
    whole = TransitionMemory(D, N_ITEMS, STEPS, followers=3)
    whole.append(before, after)
    for name in ("starts", "items", "counts"):
        assert torch.equal(getattr(memory, name), getattr(whole, name))


@torch.no_grad()
def test_new_items_have_no_followers_until_something_follows(memory):
    before, after = transitions(50)
    memory.append(before, after)
    known = memory.following(before)
    memory.add_items(2)
    assert memory.n_items == N_ITEMS + 2
    assert torch.equal(memory.following(before)[0], known[0])
    new = torch.tensor([[N_ITEMS + 1, 0, 0]])
    assert not memory.following(new)[0].any()
    memory.append(new, torch.tensor([N_ITEMS]))
    items, counts = memory.following(new)
    assert items[0, 0].tolist() == [N_ITEMS, 0, 0] and counts[0, 0].tolist() == [1, 0, 0]
    assert torch.equal(memory.following(before)[1], known[1])


@torch.no_grad()
def test_a_checkpoint_holds_the_counts(memory):
    before, after = transitions(50)
    memory.append(before, after)
    empty = TransitionMemory(D, N_ITEMS, STEPS, followers=3)
    assert not empty.following(before)[0].any()
    empty.load_state_dict(memory.state_dict())
    states = torch.randn(50, D)
    for ours, theirs in zip(empty(states, before), memory(states, before), strict=True):
        assert torch.equal(ours, theirs)


def slow_transitions(tmp_path, steps: int, longest: int) -> Counter:
    """(items before, last one first; item) of all targets of training, from the file."""
    lines = (tmp_path / "toy" / "toy.inter").read_text().splitlines()[1:]
    users = {}
    for user, item, _, time in map(str.split, lines):
        users.setdefault(user, []).append((float(time), item))
    found = Counter()
    for events in users.values():
        items = [item for _, item in sorted(events)][:-2]
        for end in range(1, len(items)):
            before = items[max(0, end - longest) : end][::-1][:steps]
            found[tuple(before), items[end]] += 1
    return found


@pytest.mark.parametrize("model", ["SASRec", "SemanticSASRec"])
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_transitions_are_those_of_training(model, steps, tmp_path, monkeypatch):
    """Of models that learn from prefixes, and of those that learn in one pass."""
    monkeypatch.chdir(tmp_path)
    run = prepare(toy_config(model, write_toy(tmp_path, missing=False), **SETTINGS[model]))
    dataset = run.train.dataset
    before, after = dataset.before_targets(steps)
    token = dataset.item_tokens
    found = Counter(
        (tuple(token[i] for i in row if i), token[item])
        for row, item in zip(before.tolist(), after.tolist(), strict=True)
    )
    assert found == slow_transitions(tmp_path, steps, 6)


def model_with_memory(**settings) -> SemanticSASRec:
    before, after = torch.randint(1, 61, (400, 2)), torch.randint(1, 61, (400,))
    dataset = catalogue_of()
    dataset.before_targets = lambda steps: (before, after)
    return model_of(dataset, memory_steps=2, memory_followers=4, **settings)


def test_a_model_adds_it_to_its_logits():
    model, interaction = model_with_memory(), histories()
    plain = model_of(catalogue_of())
    plain.load_state_dict(model.state_dict(), strict=False)
    states, seen = model.last_states(interaction)
    expected = plain.item_scores(interaction)
    expected = model.memory(states, seen).add_to(expected)
    torch.testing.assert_close(model.item_scores(interaction), expected)

    losses = []
    for items, length, target in zip(
        interaction["item_id_list"], interaction["item_length"], interaction["item_id"], strict=True
    ):
        sequence = [*items[:length].tolist(), int(target)]
        for end in range(1, len(sequence)):
            one = {
                "item_id_list": torch.tensor([sequence[:end]]),
                "item_length": torch.tensor([end]),
            }
            one = type(interaction)(one)
            states, seen = model.last_states(one)
            logits = model.memory(states, seen, torch.tensor([sequence[end]])).add_to(
                plain.item_scores(one)
            )
            losses.append(F.cross_entropy(logits[:, 1:], torch.tensor([sequence[end] - 1])))
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(model.calculate_loss(interaction), expected, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_a_model_remembers_further_histories():
    model, interaction = model_with_memory(), histories()
    expected = Counter()
    model.memory = TransitionMemory(8, 61, 2, followers=9)
    model.remember(interaction)
    for items, length, target in zip(
        interaction["item_id_list"], interaction["item_length"], interaction["item_id"], strict=True
    ):
        sequence = [*items[:length].tolist(), int(target)]
        pairs = [(end, step) for end in range(1, len(sequence)) for step in range(min(2, end))]
        expected.update((step, sequence[end - 1 - step], sequence[end]) for end, step in pairs)
    items, counts = model.memory.following(torch.arange(61).expand(2, -1).t())
    found = {
        (step, anchor, item): count
        for anchor in range(61)
        for step in range(2)
        for item, count in zip(items[anchor, step].tolist(), counts[anchor, step], strict=True)
        if item
    }
    assert found == expected


def test_rpg_can_take_it():
    model = rpg(memory_steps=2, transitions=torch.randint(1, 61, (400, 2)))
    interaction = histories()
    states, seen = model.last_states(interaction)
    expected = model.memory(states, seen).add_to(model.scores_of(states))
    assert torch.equal(model.item_scores(interaction), expected)
    model.calculate_loss(interaction)[1].backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {"memory.weight", "memory.bias"}


@torch.no_grad()
def test_new_items_are_remembered_too():
    model = rpg(memory_steps=2, transitions=torch.randint(1, 61, (400, 2)))
    taken = set(map(tuple, model.ids.codes[1:].tolist()))
    free = [c for c in torch.cartesian_prod(*map(torch.arange, model.ids.sizes)).tolist()
            if tuple(c) not in taken]  # fmt: skip
    model.ids.append(torch.tensor(free[:2]))
    new = {"item_id_list": torch.tensor([[61]]), "item_length": torch.tensor([1])}
    batch = type(histories())({**new, "item_id": torch.tensor([62])})
    before = model.eval().item_scores(batch)
    model.remember(batch)
    model.memory.bias.fill_(2.0)
    model.memory.weight.zero_()
    change = model.item_scores(batch) - before
    assert change[0, 62] == pytest.approx(2 * log(2), abs=1e-5)
    fresh = rpg(memory_steps=2, transitions=torch.randint(1, 61, (4, 2))).eval()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.item_scores(batch), model.item_scores(batch))


def test_training_with_it_answers_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {**SETTINGS["SemanticSASRec"], "memory_steps": 2, "epochs": 3}
    run = prepare(toy_config("SemanticSASRec", write_toy(tmp_path, missing=False), **settings))
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    assert trainer.model.memory.bias.ne(0).all()
    result = trainer.evaluate(run.test)
    fresh = new_trainer(run)
    fresh.model.memory.append(*run.train.dataset.before_targets(2))  # of which nothing stays
    assert fresh.evaluate(run.test, model_file=trainer.saved_model_file) == result
    counts = trainer.model.memory.counts
    assert torch.equal(fresh.model.memory.counts, counts)


def test_data_without_times_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [(f"u{u}", f"i{u + 5}", " ".join(f"i{u + n}" for n in range(5))) for u in range(20)]
    for part in ("train", "valid", "test"):
        header = ["user_id:token", "item_id:token", "item_id_list:token_seq"]
        write_table(tmp_path / "toy" / f"toy.{part}.inter", header, rows)
    settings = {
        "benchmark_filename": ["train", "valid", "test"],
        "alias_of_item_id": ["item_id_list"],
        "load_col": {"inter": ["user_id", "item_id", "item_id_list"]},
    }
    dataset = create_dataset(toy_config("SASRec", tmp_path, **settings)).build()[0]
    with pytest.raises(InputError, match=r"transitions need times: .*\[toy\] have no .*TIME_FIELD"):
        dataset.before_targets(2)
    with pytest.raises(
        InputError, match=r"memory_steps \[2\], unless 0, needs times"
    ):  # before items are tokenized
        create_dataset(toy_config("RPG", tmp_path, memory_steps=2, **settings))
