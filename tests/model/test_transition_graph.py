"""The walks of TransitionGraph against a breadth-first search in plain Python."""

from collections import Counter
from math import log

import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.errors import InputError
from recbole_genrec.model.transition_graph import TransitionGraph
from tests.small import new_trainer, prepare, toy_config, write_toy

ITEMS = {"item_text_fields": ["title", "brand"], "text_embedding_dim": 4}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return prepare(toy_config("TransitionGraph", write_toy(tmp_path, missing=False), **ITEMS))


def slow_transitions(tmp_path) -> Counter:
    """(item, next item) -> how often, of all but the last two items of each user."""
    lines = (tmp_path / "toy" / "toy.inter").read_text().splitlines()[1:]
    histories = {}
    for user, item, _, time in map(str.split, lines):
        histories.setdefault(user, []).append((float(time), item))
    counts = Counter()
    for events in histories.values():
        items = [item for _, item in sorted(events)][:-2]
        counts.update(zip(items, items[1:], strict=False))
    return counts


def slow_list(counts, texts, anchors, ring_places, weight, length) -> list[str]:
    """The list for one history, by the rules of the class."""
    walks, ring_of = Counter(set(anchors)), dict.fromkeys(anchors, 0)
    rings = []
    mean = torch.stack([texts[a] for a in anchors]).sum(0)
    for number in range(1, len(ring_places) + 1):
        following = Counter()
        for (before, after), count in counts.items():
            following[after] += walks[before] * count
        walks = Counter({item: n for item, n in following.items() if n})
        new = [item for item in walks if item not in ring_of]
        ring_of |= dict.fromkeys(new, number)
        most = max((log(1 + walks[item]) for item in new), default=1)

        def score(item, walks=walks, most=most):
            similarity = torch.nn.functional.cosine_similarity(texts[item], mean, dim=0)
            return float(similarity) + weight * log(1 + walks[item]) / most

        rings.append(sorted(new, key=score, reverse=True))
    found = []
    while any(rings):
        for ring, places in zip(rings, ring_places, strict=True):
            found += ring[:places]
            del ring[:places]
    return found[:length]


def test_transitions_are_those_of_training(run, tmp_path):
    model = TransitionGraph(run.config, run.train.dataset)
    token = run.train.dataset.item_tokens
    after, before = model.transitions.indices().tolist()
    found = {
        (token[b], token[a]): int(n)
        for a, b, n in zip(after, before, model.transitions.values(), strict=True)
    }
    assert found == slow_transitions(tmp_path)


@pytest.mark.parametrize(
    ("num_anchors", "ring_places"), [(1, [7, 2, 1]), (2, [7, 2, 1]), (2, [2, 1]), (3, [1, 1, 2])]
)
def test_lists_take_the_places_of_their_rings(num_anchors, ring_places, run, tmp_path):
    run.config["num_anchors"], run.config["ring_places"] = num_anchors, ring_places
    model = TransitionGraph(run.config, run.train.dataset)
    token = run.train.dataset.item_tokens
    # texts without ties
    model.texts = torch.nn.functional.normalize(torch.randn(len(token), 5), dim=-1)
    model.texts[0] = 0
    texts = dict(zip(token, model.texts, strict=True))
    counts = slow_transitions(tmp_path)
    lengths = torch.tensor([5, 1, 2])
    histories = torch.randint(1, len(token), (3, 6))
    histories[torch.arange(6) >= lengths.unsqueeze(1)] = 0
    interaction = Interaction({"item_id_list": histories, "item_length": lengths})
    scores = model.full_sort_predict(interaction)
    assert scores[:, 0].eq(-torch.inf).all()
    for user in range(3):
        assert len(scores[user].unique()) == len(token)  # no two items share a place
        own = histories[user, : lengths[user]].tolist()
        anchors = [token[item] for item in own[::-1][:num_anchors]]
        expected = slow_list(counts, texts, anchors, ring_places, 0.5, 20)
        ranked = [token[item] for item in scores[user].argsort(descending=True)]
        assert ranked[: len(expected)] == expected
        assert set(ranked[-1 - len(set(anchors)) : -1]) == set(anchors)


def test_it_runs_like_any_other_model(run):
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    result = trainer.evaluate(run.test)
    assert result["recall@5"] > 0.4  # users walk through the items in steps of 1 or 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ring_places": [7, 0]}, r"ring_places should be a list of integers >= 1"),
        ({"ring_places": []}, r"ring_places should be a list of integers >= 1"),
        ({"num_anchors": 0}, r"num_anchors should be an integer >= 1, found \[0\]"),
    ],
)
def test_settings_that_cannot_work(settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        TransitionGraph.check_config(toy_config("TransitionGraph", write_toy(tmp_path), **settings))


def test_a_data_set_without_texts_is_refused(tmp_path):
    config = toy_config("TransitionGraph", write_toy(tmp_path))
    with pytest.raises(InputError, match="TransitionGraph needs a data set with item embeddings"):
        TransitionGraph(config, create_dataset(config))
