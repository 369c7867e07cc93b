"""Items of the history in the ranking, or masked: both against scores of every item."""

from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.collector import RankedItems
from recbole_genrec.evaluator.protocols import MASKED, UNMASKED, masked_lists, without_seen
from recbole_genrec.evaluator.recording import collect_recommendations
from tests.resume_cases import SETTINGS
from tests.small import NAME, new_trainer, prepare, toy_config, write_table

ITEMS = 14
TOPK = [2, 4]
EVERYTHING = {"beam_size": ITEMS}  # a beam as wide as the catalogue is exact
SEVERAL_TARGETS = {"split": {"RS": [0.5, 0.2, 0.3]}, "group_by": "user", "order": "TO"}
CASES = {
    "SASRec": {},
    "FEARec": {"n_layers": 2, "hidden_size": 16, "inner_size": 16},
    "BPR": {"eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO"}},
    "BPR several": {"eval_args": SEVERAL_TARGETS},
    "SASRec several": {"eval_args": SEVERAL_TARGETS},
    "TIGER": EVERYTHING,
    "UniGRec": EVERYTHING,
    "RPG": {},
}


@pytest.fixture(scope="module")
def data_path(tmp_path_factory):
    """Sequences of up to 12 events over few items, so that many come again, targets too."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    events = [
        (f"u{user}", f"i{1 + int(rng.integers(ITEMS) ** 2 / ITEMS)}", 1, 100 * user + place)
        for user in range(25)
        for place in range(rng.integers(5, 13))
    ]
    events += [(f"u{n % 25}", f"i{n}", 1, n - 100) for n in range(1, ITEMS + 1)]  # all are there
    header = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    write_table(folder / NAME / f"{NAME}.inter", header, events)
    titles = [(f"i{n}", f"word{n % 5} word{n % 3}", f"brand{n % 4}") for n in range(1, ITEMS + 1)]
    header = ["item_id:token", "title:token_seq", "brand:token"]
    write_table(folder / NAME / f"{NAME}.item", header, titles)
    return folder


def prepared(case, data_path, **settings):
    model = case.split()[0]
    settings = {**SETTINGS.get(model, {}), **CASES[case], "topk": TOPK, **settings}
    settings.setdefault("valid_metric", "NDCG@4")
    return prepare(toy_config(model, data_path, MAX_ITEM_LIST_LENGTH=3, **settings))


def evaluated(run):
    trainer = new_trainer(run)
    trainer.eval_collector.data_collect(run.train)
    trainer.model.eval()
    trainer.evaluate(run.test, load_best_model=False)
    return trainer


def sequences(run):
    """The items of each user in the order of time, from the file alone."""
    file = Path(run.config["data_path"]) / f"{NAME}.inter"
    events = [line.split("\t") for line in file.read_text().splitlines()[1:]]
    found = {}
    for user, item, _, _ in sorted(events, key=lambda event: float(event[3])):
        found.setdefault(user, []).append(int(run.test.dataset.token2id("item_id", item)))
    return found


def histories_and_targets(run):
    """Items before and targets of each list, from the file and the split alone."""
    dataset, several = run.test.dataset, "RS" in run.config["eval_args"]["split"]
    sequential = run.test.is_sequential
    users = dataset.inter_feat["user_id"].tolist() if sequential else run.test.uid_list.tolist()
    whole, found, place = sequences(run), [], {}
    for user in users:
        items = whole[str(dataset.id2token("user_id", user))]
        if not several:
            found.append((items[:-1], [items[-1]]))
        elif not sequential:
            targets = dataset.inter_feat["item_id"][dataset.inter_feat["user_id"] == user].tolist()
            found.append((items[: len(items) - len(targets)], targets))
        else:
            number = users.count(user)
            place[user] = place.get(user, len(items) - number - 1) + 1
            found.append((items[: place[user]], [items[place[user]]]))
    return found


def scores_of_all_items(trainer, loader):
    """[rows, n_items] by `predict`, item by item."""
    model, rows = trainer.model, []
    for interaction, *_ in loader:
        columns = []
        for item in range(1, ITEMS + 1):
            interaction.update(
                type(interaction)({"item_id": torch.full((len(interaction),), item)})
            )
            with torch.no_grad():
                columns.append(model.predict(interaction).flatten())
        rows.append(torch.stack([torch.full_like(columns[0], -torch.inf), *columns], 1))
    return torch.cat(rows).double()


def metrics(lists, targets):
    """Recall and NDCG at each k, by their definitions."""
    sums = {f"{name}@{k}": [] for k in TOPK for name in ("recall", "ndcg")}
    for found, wanted in zip(lists, targets, strict=True):
        wanted = set(wanted)
        for k in TOPK:
            hits = [item in wanted for item in found[:k]]
            gain = sum(1 / np.log2(place + 2) for place, hit in enumerate(hits) if hit)
            ideal = sum(1 / np.log2(place + 2) for place in range(min(k, len(wanted))))
            sums[f"recall@{k}"].append(sum(hits) / len(wanted))
            sums[f"ndcg@{k}"].append(gain / ideal)
    return {name: float(np.mean(values)) for name, values in sums.items()}


@pytest.mark.parametrize("case", CASES)
def test_both_protocols_are_those_of_exhaustive_scoring(case, data_path):
    settings = {"metrics": ["Recall", "NDCG"], "metric_decimal_place": 8}
    run = prepared(case, data_path, repeatable=True, **settings)
    trainer = evaluated(run)
    scores = scores_of_all_items(trainer, run.test)
    before, targets = zip(*histories_and_targets(run), strict=True)
    assert any(
        target in items for items, own in zip(before, targets, strict=True) for target in own
    )
    assert max(map(len, before)) > run.config["MAX_ITEM_LIST_LENGTH"] + 3

    expected = {UNMASKED: [], MASKED: []}
    for row, items in zip(scores, before, strict=True):
        order = [item for item in row.argsort(descending=True).tolist() if item]
        expected[UNMASKED].append(order[:4])
        expected[MASKED].append([item for item in order if item not in items][:4])
    for protocol, lists in expected.items():
        found = [[i for i in own if i] for own in trainer.lists[protocol].tolist()]
        assert found == lists, protocol
        assert trainer.results[protocol] == pytest.approx(metrics(lists, targets), abs=1e-6)
    assert not torch.equal(trainer.lists[UNMASKED], trainer.lists[MASKED])

    kept = collect_recommendations(trainer, run.train, run.test)
    if run.test.is_sequential:
        own = before
    else:
        users = run.test.dataset.id2token("user_id", run.test.uid_list.numpy()).tolist()
        own = [before[users.index(user)] for user in kept.users]
    assert kept.protocol == UNMASKED
    assert kept.seen.tolist() == [
        [item in items for item in found]
        for found, items in zip(kept.items.tolist(), own, strict=True)
    ]
    assert kept.target_seen.tolist() == [
        target in items for target, items in zip(kept.targets, own, strict=True)
    ]
    masked = kept.in_protocol(MASKED)
    assert (masked.other_items == kept.items).all() and masked.in_protocol(UNMASKED) is not None
    assert not (masked.ranks[kept.target_seen] > 0).any()
    if run.test.is_sequential:
        last = [items[-1] for items in own]
        known = set(zip(*run.train.dataset.transitions().tolist(), strict=True))
        pairs = list(zip(last, kept.targets.tolist(), strict=True))
        assert kept.seen_transition.tolist() == [pair in known for pair in pairs]
        assert 0 < kept.seen_transition.mean() < 1


@pytest.mark.parametrize("case", ["SASRec", "TIGER", "RPG", "BPR"])
def test_the_other_key_chooses_the_other_protocol_of_the_same_test(case, data_path):
    """Also for metrics of whole lists, which have their own state in RecBole's evaluation."""
    every = ["NDCG", "ItemCoverage", "GiniIndex", "AveragePopularity", "ShannonEntropy"]
    stay = evaluated(prepared(case, data_path, repeatable=True, metrics=every))
    masked = evaluated(prepared(case, data_path, repeatable=False, metrics=every))
    assert (stay.protocol, masked.protocol) == (UNMASKED, MASKED)
    assert stay.results == masked.results
    for protocol, lists in stay.lists.items():
        assert torch.equal(lists, masked.lists[protocol])
    assert torch.equal(masked.recommended_items, masked.lists[MASKED])


@pytest.mark.parametrize("repeatable", [True, False])
def test_validation_has_the_chosen_protocol_and_its_own_beams(repeatable, data_path, monkeypatch):
    settings = {"beam_size": 9, "valid_beam_size": 5, "epochs": 2}
    run = prepared("TIGER", data_path, repeatable=repeatable, **settings)
    trainer = new_trainer(run)
    beams, search = [], type(trainer.model).search
    monkeypatch.setattr(
        type(trainer.model),
        "search",
        lambda self, history, lengths, trie, width: (
            beams.append(width) or search(self, history, lengths, trie, width)
        ),
    )
    trainer.fit(run.train, run.valid)
    protocol = UNMASKED if repeatable else MASKED
    assert set(trainer.results) == {protocol}
    assert beams[0] == 5 and 9 not in beams
    assert set(beams) == ({5} if repeatable else {5, ITEMS})
    beams.clear()
    best = trainer.valid_results[trainer.best_epoch]
    trainer.evaluate(run.valid, load_best_model=True)
    assert beams[0] == 9 and set(trainer.results) == {UNMASKED, MASKED}
    assert set(best) == set(trainer.results[protocol])


def test_a_narrow_search_finds_what_one_among_the_other_items_would(data_path):
    run = prepared("TIGER", data_path, beam_size=3, topk=[3], valid_metric="NDCG@3")
    trainer = evaluated(run)
    model = trainer.model
    exact = scores_of_all_items(trainer, run.test)
    searched = 0
    for row, (interaction, seen, *_) in enumerate(_single_rows(run.test)):
        ranked = RankedItems(*model.recommend(interaction, 3))
        found = masked_lists(model, interaction, ranked, seen)
        others = sorted(set(range(1, ITEMS + 1)) - set(seen[1].tolist()))
        _, least = model.recommend(interaction, 3, torch.tensor(others))
        items = [item for item in found.ids[0].tolist() if item]
        assert set(items) <= set(others) and len(items) == min(3, len(others))
        assert found.scores[0, : len(items)].tolist() == pytest.approx(
            exact[row, items].tolist(), rel=1e-4
        )
        if set(ranked.ids[0].tolist()) & set(seen[1].tolist()):
            searched += 1
            assert (found.scores >= least - 1e-4).all()
        else:
            assert torch.equal(found.ids, ranked.ids)
    assert searched > 5


def _single_rows(loader):
    return (loader.collate_fn([row]) for row in range(len(loader.dataset)))


def test_the_masked_list_of_a_row_is_that_which_it_has_alone(data_path):
    run = prepared("TIGER", data_path, beam_size=3, topk=[3], valid_metric="NDCG@3")
    trainer = evaluated(run)
    interaction, seen, *_ = run.test.collate_fn(list(range(len(run.test.dataset))))
    ranked = RankedItems(*trainer.model.recommend(interaction, 3))
    together = masked_lists(trainer.model, interaction, ranked, seen).ids
    for row, (alone, own, *_) in enumerate(_single_rows(run.test)):
        ranked = RankedItems(*trainer.model.recommend(alone, 3))
        assert torch.equal(masked_lists(trainer.model, alone, ranked, own).ids[0], together[row])


def test_lists_close_up_where_items_are_taken_out():
    ranked = RankedItems(torch.tensor([[4, 2, 7, 0]]), torch.tensor([[-1.0, -2, -3, -torch.inf]]))
    seen = torch.tensor([0, 0]), torch.tensor([2, 9])
    found = without_seen(ranked, seen)
    assert found.ids.tolist() == [[4, 7, 0, 0]]
    assert found.scores.tolist() == [[-1.0, -3.0, -torch.inf, -torch.inf]]


def test_area_under_the_curve_counts_a_masked_target_as_the_last(data_path):
    run = prepared("SASRec", data_path, metrics=["GAUC"], valid_metric="GAUC", repeatable=True)
    trainer = evaluated(run)
    scores, aucs = scores_of_all_items(trainer, run.test), []
    for row, (before, (target,)) in zip(scores, histories_and_targets(run), strict=True):
        others = set(range(1, ITEMS + 1)) - set(before) - {target}
        below = 0 if target in before else sum(row[item] < row[target] for item in others)
        aucs.append(float(below) / len(others))
    assert trainer.results[MASKED]["gauc"] == pytest.approx(np.mean(aucs), abs=1e-3)


def test_masking_among_samples_is_refused(data_path):
    with pytest.raises(InputError, match=r"repeatable False, .* eval_args mode full .*\[uni10\]"):
        toy_config("SASRec", data_path, repeatable=False, eval_args={"mode": "uni10"})
    assert toy_config("BPR", data_path, eval_args={"mode": "uni10"})["repeatable"] is False


def test_sequential_models_train_alike_in_both_protocols(data_path):
    settings = {"loss_type": "BPR", "epochs": 1}
    losses = []
    for repeatable in (True, False):
        run = prepared("SASRec", data_path, repeatable=repeatable, **settings)
        trainer = new_trainer(run)
        trainer.fit(run.train)
        losses.append(trainer.train_loss_dict)
    assert losses[0] == losses[1]
