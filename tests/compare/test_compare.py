"""Comparisons of runs made up to know the answer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recbole_genrec.compare import compare
from recbole_genrec.compare.against import enough_seeds, seeds_needed
from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.protocols import MASKED, UNMASKED
from recbole_genrec.evaluator.ranks import rank_metrics
from recbole_genrec.evaluator.recommendations import Recommendations
from recbole_genrec.report.conclusion import circumstances, conclusion
from recbole_genrec.report.write import report_text
from recbole_genrec.runs.record import RECOMMENDATIONS, RESULT, load_result, write_json
from tests.made_up_runs import made_up_recommendations, with_masked, write_run


@pytest.fixture(autouse=True)
def _work_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_models(root: Path, seeds=(1, 2, 3), **skills) -> list[Path]:
    """Runs of models with the given skills; those with IDs in their name have semantic IDs."""
    return [
        write_run(
            root / f"{model}-{seed}",
            model,
            seed,
            made_up_recommendations(
                seed=100 * number + seed, users=300, levels=3 * ("IDs" in model), skill=skill
            ),
        )
        for seed in seeds
        for number, (model, skill) in enumerate(skills.items())
    ]


def named(rows: list[dict], **wanted) -> dict:
    (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row


def test_figures_are_those_of_the_runs(tmp_path):
    folders = write_models(tmp_path, SASRec=0.3, TIGER_IDs=0.6)
    comparison = compare([tmp_path])
    assert (comparison["protocol"], comparison["other"]) == ("unmasked", None)  # as in old files
    assert [model["name"] for model in comparison["models"]] == ["SASRec", "TIGER_IDs"]
    for model in comparison["models"]:
        results = [load_result(f) for f in folders if f.name.startswith(model["name"])]
        assert model["seeds"] == [1, 2, 3]
        for metric in ("recall@5", "ndcg@5", "recall@10", "ndcg@10"):
            values = [result["test_result"][metric] for result in results]
            figure = model["test"][metric]
            assert figure["values"] == values
            assert figure["mean"] == pytest.approx(sum(values) / 3)
            assert figure["std"] == pytest.approx(np.std(values, ddof=1))
            low, high = model["interval"][metric]
            assert low < figure["mean"] < high
        assert model["minutes"]["values"] == [1, 2, 3]
    assert comparison["selection_metric"] == "ndcg@10"
    assert comparison["test_cases"] == [300]


def write_both_protocols(root: Path, **repeatable) -> dict[str, Recommendations]:
    """Runs that know both protocols; `repeatable` of each model says which one heads its file."""
    known = {}
    for number, (model, stays) in enumerate(repeatable.items()):
        lists = with_masked(made_up_recommendations(seed=number, users=300, skill=0.5))
        known[model] = lists
        folder = write_run(root / model, model, 1, lists, {"repeatable": stays})
        if not stays:
            masked = lists.in_protocol(MASKED)
            masked.save(folder / RECOMMENDATIONS)
            result = load_result(folder)
            write_json(folder / RESULT, {**result, "test_result": result["test_results"][MASKED]})
    return known


def test_both_protocols_are_compared_each_with_its_own_lists(tmp_path):
    known = write_both_protocols(tmp_path, Pop=True, SASRec=True)
    comparison = compare([tmp_path])
    other = comparison["other"]
    assert (comparison["protocol"], other["protocol"]) == (UNMASKED, MASKED)
    for model in comparison["models"]:
        lists = known[model["name"]]
        for protocol, figures in ((UNMASKED, model), (MASKED, other["models"][model["name"]])):
            expected = rank_metrics(lists.in_protocol(protocol).ranks, [5, 10])
            assert {k: v["mean"] for k, v in figures["test"].items()} == pytest.approx(expected)
            low, high = figures["interval"]["recall@10"]
            assert low < expected["recall@10"] < high
    for tests in (comparison["tests"], other["tests"]):
        assert all(test["permutation_p"] is not None for test in tests)
    differences = [
        named(t, metric="ndcg@10")["difference"] for t in (comparison["tests"], other["tests"])
    ]
    assert differences[0] != differences[1]


def test_the_first_run_says_which_protocol_heads_where_they_differ(tmp_path):
    known = write_both_protocols(tmp_path, BPR=False, SASRec=True)
    for first, second, history in (("BPR", "SASRec", MASKED), ("SASRec", "BPR", UNMASKED)):
        comparison = compare([tmp_path / first, tmp_path / second])
        assert comparison["protocol"] == history
        for model in comparison["models"]:
            expected = rank_metrics(known[model["name"]].in_protocol(history).ranks, [5, 10])
            assert model["test"]["ndcg@10"]["mean"] == pytest.approx(expected["ndcg@10"])
        assert any("Epochs were not chosen alike" in note for note in comparison["notes"])


def test_old_runs_are_compared_in_the_protocol_that_they_know(tmp_path):
    write_both_protocols(tmp_path, SASRec=True)
    lists = made_up_recommendations(seed=7, users=300, skill=0.3)
    write_run(tmp_path / "old", "GRU4Rec", 1, lists, {"repeatable": True})
    comparison = compare([tmp_path])
    assert len(comparison["models"]) == 2 and set(comparison["other"]["models"]) == {"SASRec"}
    assert comparison["other"]["tests"] == []  # the reference is the old one
    assert "In one protocol alone: GRU4Rec, of an earlier version." in comparison["notes"]
    assert "of an earlier version" in report_text(comparison, "text")
    write_run(tmp_path / "filter", "Pop", 1, lists, {"repeatable": False})
    with pytest.raises(InputError, match=r"tested alike, found repeatable \[True\] in .*\[False\]"):
        compare([tmp_path])


def test_reference_is_the_best_model_without_semantic_ids(tmp_path):
    write_models(tmp_path, Pop=0.1, SASRec=0.4, A_IDs=0.3, B_IDs=0.7)
    comparison = compare([tmp_path])
    assert comparison["reference"] == "SASRec"
    assert compare([tmp_path], reference="A_IDs")["reference"] == "A_IDs"
    with pytest.raises(InputError, match="reference: expected one of .*Pop.*, found TIGER"):
        compare([tmp_path], reference="TIGER")


def test_of_models_of_one_kind_the_first_is_the_reference(tmp_path):
    folders = write_models(tmp_path, Weak_IDs=0.1, Strong_IDs=0.6)
    assert compare(folders)["reference"] == "Weak_IDs"
    assert compare(folders[::-1])["reference"] == "Strong_IDs"


def test_a_clear_winner_wins_over_users_and_over_seeds(tmp_path):
    write_models(tmp_path, seeds=range(1, 6), SASRec=0.2, TIGER_IDs=0.7)
    comparison = compare([tmp_path])
    test = named(comparison["tests"], metric="ndcg@10")
    assert (test["model"], test["reference"]) == ("TIGER_IDs", "SASRec")
    means = [model["test"]["ndcg@10"]["mean"] for model in comparison["models"]]
    assert test["difference"] == pytest.approx(means[1] - means[0])
    assert test["gain"] == pytest.approx(means[1] / means[0] - 1)
    assert test["interval"][0] < test["difference"] < test["interval"][1]
    assert test["seeds_p"] == pytest.approx(2 / 252)  # all five above all five
    assert test["users_verdict"] == test["seeds_verdict"] == "better"
    assert comparison["notes"] == []
    other_way = named(compare([tmp_path], reference="TIGER_IDs")["tests"], metric="ndcg@10")
    assert other_way["users_verdict"] == other_way["seeds_verdict"] == "worse"


def test_a_model_compared_with_itself_is_never_significant(tmp_path):
    for seed in range(1, 6):
        lists = made_up_recommendations(seed=seed, users=300, skill=0.4)
        for model in ("Original", "Copy"):
            write_run(tmp_path / f"{model}-{seed}", model, seed, lists)
    comparison = compare([tmp_path])
    assert len(comparison["models"]) == 2
    for test in comparison["tests"]:
        assert test["difference"] == 0 and test["interval"] == [0, 0]
        assert test["permutation_p"] == test["wilcoxon_p"] == test["seeds_p"] == 1
        assert test["users_verdict"] == test["seeds_verdict"] == "no difference shown"


def test_too_few_seeds_are_said_to_be_too_few(tmp_path):
    write_models(tmp_path, seeds=(1, 2, 3), SASRec=0.1, TIGER_IDs=0.9)
    comparison = compare([tmp_path])
    assert {test["seeds_verdict"] for test in comparison["tests"]} == {"too few seeds"}
    (note,) = comparison["notes"]
    assert "Too few seeds (3 per model)" in note and "1 comparison at p < 0.05 need 4 each" in note


@pytest.mark.parametrize("comparisons", [1, 2, 4, 10])
def test_seeds_needed_is_the_smallest_number_that_is_enough(comparisons):
    needed = seeds_needed(comparisons)
    assert enough_seeds(needed, needed, comparisons)
    assert not enough_seeds(needed - 1, needed - 1, comparisons)


def test_namesakes_are_told_apart_by_their_settings(tmp_path):
    folders = write_models(tmp_path, seeds=(1,), TIGER_IDs=0.3)
    lists = made_up_recommendations(seed=5, users=300, levels=3)
    folders.append(write_run(tmp_path / "other", "TIGER_IDs", 1, lists, {"beam_size": 50}))
    names = [model["name"] for model in compare(folders)["models"]]
    assert names == ["TIGER_IDs (beam_size=None)", "TIGER_IDs (beam_size=50)"]
    given = dict(zip(map(str, folders), ("narrow", "wide"), strict=True))
    comparison = compare(folders, "wide", given)
    assert [model["name"] for model in comparison["models"]] == ["narrow", "wide"]
    assert comparison["reference"] == "wide" and not any("differ" in n for n in comparison["notes"])


def test_one_setting_names_models_that_differ_in_several(tmp_path):
    settings = [
        {"loss": "rank", "rank_temperature": 0.6},
        {"loss": "pos"},
        {"loss": "cft", "cft_weight": 0.1},
    ]
    lists = made_up_recommendations(seed=1, users=50, skill=0.4)
    for number, own in enumerate(settings):
        write_run(tmp_path / str(number), "TIGER", 1, lists, settings=own)
    comparison = compare([tmp_path])
    names = [model["name"] for model in comparison["models"]]
    assert names == ["TIGER (loss=rank)", "TIGER (loss=pos)", "TIGER (loss=cft)"]
    assert "also differ in cft_weight, rank_temperature." in comparison["notes"][0]


def test_of_equal_runs_the_latest_counts(tmp_path):
    (first,) = write_models(tmp_path, seeds=(1,), SASRec=0.3)
    lists = made_up_recommendations(seed=5, users=300, skill=0.8)
    later = write_run(tmp_path / "b", "SASRec", 1, lists, started="2026-02-01T00:00:00+00:00")
    for folders in ([first, later], [later, first]):
        (model,) = compare(folders)["models"]
        assert model["folders"] == [str(later)]


def test_runs_that_are_not_finished_are_listed_and_do_not_count(tmp_path):
    write_models(tmp_path, seeds=(1, 2), SASRec=0.3, TIGER_IDs=0.5)
    lists = made_up_recommendations()
    error = {"type": "RuntimeError", "message": "out of memory", "traceback": "..."}
    write_run(tmp_path / "x", "Big", 1, lists, status="failed", error=error)
    write_run(tmp_path / "y", "Slow", 1, lists, status="running")
    comparison = compare([tmp_path])
    assert [model["name"] for model in comparison["models"]] == ["SASRec", "TIGER_IDs"]
    failed = {run["model"]: run["error"] for run in comparison["failed"]}
    assert failed["Big"] == "out of memory" and "still at work" in failed["Slow"]
    with pytest.raises(InputError, match="nothing to compare.*out of memory"):
        compare([tmp_path / "x"])
    again = {"fingerprint": load_result(tmp_path / "x")["fingerprint"]}
    write_run(tmp_path / "z", "Big", 1, made_up_recommendations(users=300), **again)
    assert [run["model"] for run in compare([tmp_path])["failed"]] == ["Slow"]


def test_runs_on_other_targets_are_not_paired(tmp_path):
    folders = write_models(tmp_path, seeds=(1,), SASRec=0.3)
    lists = made_up_recommendations(seed=3, users=200, levels=3)
    folders.append(write_run(tmp_path / "other", "TIGER_IDs", 1, lists))
    comparison = compare(folders)
    assert "different users or targets" in comparison["notes"][0]
    assert conclusion(comparison).startswith("Nothing can be concluded")
    assert {test["users_verdict"] for test in comparison["tests"]} == {"not tested"}
    assert comparison["overlap"] == comparison["examples"] == []
    assert all(model["analysis"] for model in comparison["models"])


def with_more_targets(lists: Recommendations, times: int, **changes) -> Recommendations:
    """Every test case `times` times, as if each user had as many targets."""
    rows = np.repeat(np.arange(len(lists.users)), times)
    cases = ("users", "targets", "items", "history_lengths", "histories")
    return replace(lists, **{name: getattr(lists, name)[rows] for name in cases}, **changes)


def test_targets_of_one_user_are_no_independent_witnesses(tmp_path):
    for times in (1, 5):
        for number, model in enumerate(["GRU4Rec", "SASRec"]):
            lists = made_up_recommendations(seed=number, users=100, skill=0.3 + 0.1 * number)
            folder = tmp_path / str(times) / model
            write_run(folder, model, 1, with_more_targets(lists, times))
    once, often = (compare([tmp_path / str(times)]) for times in (1, 5))
    assert often["test_cases"] == [500]
    for test, expected in zip(often["tests"], once["tests"], strict=True):
        for key in ("interval", "permutation_p", "wilcoxon_p"):
            assert test[key] == pytest.approx(expected[key])
    for model, expected in zip(often["models"], once["models"], strict=True):
        for metric, interval in expected["interval"].items():
            assert model["interval"][metric] == pytest.approx(interval)


def test_means_over_users_and_over_targets_are_not_tested_against_each_other(tmp_path):
    lists = [made_up_recommendations(seed=seed, users=100, skill=0.4) for seed in (1, 2)]
    write_run(tmp_path / "a", "SASRec", 1, with_more_targets(lists[0], 3))
    none = np.zeros((300, 0), dtype=int)  # no histories: one list for all targets of a user
    targets = np.arange(300) % 40 + 1
    for name, own in zip("ab", lists, strict=True):
        general = with_more_targets(own, 3)
        general = replace(general, targets=targets, histories=none)
        write_run(tmp_path / f"{name}2", f"Pop{name}", 1, general)
    sequential = replace(with_more_targets(lists[0], 3), targets=targets)
    (tmp_path / "a" / RECOMMENDATIONS).unlink()
    sequential.save(tmp_path / "a" / RECOMMENDATIONS)
    comparison = compare([tmp_path])
    assert comparison["paired"]
    verdicts = {test["model"]: test["users_verdict"] for test in comparison["tests"]}
    assert verdicts == {"Popa": "not tested", "Popb": "not tested"}
    assert "Metrics of Popa, Popb are means over users" in comparison["notes"][0]
    comparison = compare([tmp_path], reference="Popa")
    verdicts = {test["model"]: test["users_verdict"] for test in comparison["tests"]}
    assert verdicts["SASRec"] == "not tested" != verdicts["Popb"]


def test_metrics_that_are_not_known_per_list_are_named_and_not_tested(tmp_path):
    for model in ("Pop", "SASRec"):
        lists = made_up_recommendations(seed=len(model), skill=0.4)
        figures = {"recall@10": 0.4, "precision@10": 0.04}
        write_run(tmp_path / model, model, 1, lists, test_result=figures)
    comparison = compare([tmp_path])
    assert "No interval and no test over users: of precision@10." in comparison["notes"]
    test = named(comparison["tests"], metric="precision@10")
    assert test["users_verdict"] == "not tested" and test["interval"] is None
    assert all(set(model["interval"]) == {"recall@10"} for model in comparison["models"])


def test_epochs_are_said_to_be_chosen_by_what_chose_them(tmp_path):
    lists = made_up_recommendations(skill=0.4)
    write_run(tmp_path / "a", "Pop", 1, lists, valid_metric="mrr@10")
    assert "epochs chosen by validation mrr@10" in circumstances(compare([tmp_path]))
    write_run(tmp_path / "b", "SASRec", 1, lists)
    comparison = compare([tmp_path])
    assert "epochs chosen by validation NDCG@10 or mrr@10" in circumstances(comparison)


def test_runs_without_lists_are_compared_by_their_metrics_alone(tmp_path):
    folders = write_models(tmp_path, seeds=(1,), SASRec=0.3, Value=0.5)
    (folders[1] / RECOMMENDATIONS).unlink()
    comparison = compare(folders)
    assert "No lists were kept by Value" in " ".join(comparison["notes"])
    assert comparison["models"][1]["analysis"] is None
    assert named(comparison["tests"], metric="ndcg@10")["users_verdict"] == "not tested"


def test_what_cannot_be_compared_is_named(tmp_path):
    (first,) = write_models(tmp_path, seeds=(1,), SASRec=0.3)
    lists = made_up_recommendations()
    other = write_run(tmp_path / "filter", "Pop", 1, lists, settings={"repeatable": False})
    with pytest.raises(InputError, match=r"tested alike, found repeatable \[None\] in .*\[False\]"):
        compare([first, other])
    other = write_run(tmp_path / "data", "SASRec", 1, lists, dataset="beauty")
    with pytest.raises(InputError, match=r"one data set, found made-up in .*, beauty in "):
        compare([first, other])
    other = write_run(tmp_path / "metric", "GRU4Rec", 1, lists, test_result={"mrr@10": 0.1})
    with pytest.raises(InputError, match="metric in common, found: .*metric has mrr@10"):
        compare([first, other])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: expected the folder of a run"):
        compare([tmp_path / "empty"])


def test_examples_are_of_all_kinds_and_show_the_lists(tmp_path):
    write_models(tmp_path, seeds=(1,), SASRec=0.5, TIGER_IDs=0.5)
    examples = compare([tmp_path])["examples"]
    kinds = [example["hit_by"] for example in examples]
    assert [kinds.count(kind) for kind in ("some", "all", "none")] == [4, 2, 2]
    for example in examples:
        hits = [example["target"] in top for top in example["lists"].values()]
        assert {"some": 0 < sum(hits) < 2, "all": all(hits), "none": not any(hits)}[
            example["hit_by"]
        ]
