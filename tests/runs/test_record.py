"""What a run leaves behind: whole runs of three kinds of models, and runs that end badly."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_genrec.compare.runs import ModelRuns
from recbole_genrec.config import Config
from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.ranks import rank_metrics
from recbole_genrec.evaluator.recommendations import Recommendations
from recbole_genrec.plain import to_json
from recbole_genrec.quick_start import run_recbole_genrec
from recbole_genrec.runs.fingerprint import data_files, run_fingerprint
from recbole_genrec.runs.record import (
    RECOMMENDATIONS,
    RESULT,
    find_finished,
    load_finished,
    load_result,
    write_json,
)
from recbole_genrec.runs.recorder import recorded_run
from tests.made_up_runs import made_up_recommendations, write_run
from tests.small import NAME, toy_config, write_toy

LEAVE_ONE_OUT = {
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
    "repeatable": True,
    "metrics": ["Recall", "NDCG"],
    "metric_decimal_place": 6,
    "show_progress": False,
}
SETTINGS = {
    "Pop": {},
    "SASRec": {"n_layers": 1, "n_heads": 1, "hidden_size": 8, "inner_size": 8, "epochs": 2},
    "TIGER": {
        **{"d_model": 8, "d_ff": 8, "num_heads": 1, "d_kv": 8, "num_layers": 1},
        **{"num_decoder_layers": 1, "tokenizer": "Random", "codebook_sizes": [4, 4, 4]},
        "item_text_fields": ["title"],
        "beam_size": 5,
    },
}


@pytest.fixture(autouse=True)
def _work_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def config_of(model: str, data_path: Path, **changes):
    return toy_config(model, data_path, **{**LEAVE_ONE_OUT, **SETTINGS[model], **changes})


def run(model: str, data_path: Path, **changes) -> Path:
    """Run a model on the toy data and return the folder that it has left."""
    before = set(Path("results").glob("*"))
    settings = config_of(model, data_path, **changes).external_config_dict
    run_recbole_genrec(model, NAME, config_dict={**settings, "data_path": str(data_path)})
    (folder,) = set(Path("results").glob("*")) - before
    return folder


def sequences(data_path: Path) -> dict[str, list[str]]:
    """Items of each user in the order of time, read from the file by other means."""
    table = pd.read_csv(data_path / NAME / f"{NAME}.inter", sep="\t")
    table = table.sort_values("timestamp:float", kind="stable")
    return table.groupby("user_id:token")["item_id:token"].agg(list).to_dict()


@pytest.mark.parametrize(
    ("model", "part", "other"),
    [
        ("Pop", "valid_only", "test"),
        ("TIGER", "valid_only", "test"),
        ("SASRec", "test_only", "valid"),
    ],
)
def test_a_split_without_test_or_validation_runs_to_its_end(model, part, other, tmp_path):
    eval_args = {"split": {"LS": part}, "order": "TO", "mode": "full"}
    folder = run(model, write_toy(tmp_path, missing=False), eval_args=eval_args)
    result = load_result(folder)
    assert result["status"] == "finished"
    assert not result[f"{other}_result"]
    assert result[{"test": "valid", "valid": "test"}[other] + "_result"]["ndcg@5"] >= 0


@pytest.mark.parametrize("model", SETTINGS)
def test_a_run_leaves_its_settings_metrics_and_lists(model, tmp_path):
    data_path = write_toy(tmp_path, missing=False)
    folder = run(model, data_path)
    result, lists = load_finished(folder)

    assert result["status"] == "finished" and result["error"] is None
    assert (result["model"], result["dataset"], result["seed"]) == (model, NAME, 7)
    assert result["config"]["metrics"] == ["Recall", "NDCG"]
    assert len(result["learning_curve"]) == result["epochs_trained"] > 0
    assert result["steps"] % result["epochs_trained"] == 0 < result["steps"]
    assert result["valid_result"]["ndcg@5"] == max(
        epoch["valid"]["ndcg@5"] for epoch in result["learning_curve"]
    )
    assert {"preparation", "training", "test", "total"} == set(result["seconds"])
    assert result["peak_memory"] > 2**20 and result["parameters"] > 0
    assert {f"{NAME}.inter", f"{NAME}.item"} <= set(result["data_files"])

    # RecBole's metrics are those of the lists that were kept
    assert rank_metrics(lists.ranks, [3, 5]) == pytest.approx(result["test_result"], abs=1e-6)

    # users, targets and histories are those of the file
    truth = sequences(data_path)
    assert sorted(lists.users) == sorted(truth)
    name = lists.item_tokens
    for row, user in enumerate(lists.users):
        assert name[lists.targets[row]] == truth[user][-1]
        assert lists.history_lengths[row] == len(truth[user]) - 2
        if model != "Pop":
            history = lists.histories[row][lists.histories[row] > 0]
            assert name[history].tolist() == truth[user][:-1][-6:]  # MAX_ITEM_LIST_LENGTH: 6
    expected = pd.Series([item for items in truth.values() for item in items[:-2]]).value_counts()
    assert {name[i]: n for i, n in enumerate(lists.popularity) if n} == expected.to_dict()

    assert lists.items.shape == (len(truth), 5)
    assert all(len(set(row[row > 0])) == (row > 0).sum() for row in lists.items)
    if model == "TIGER":
        assert len(np.unique(lists.codes[""][1:], axis=0)) == len(name) - 1
        assert result["tokenizer_reports"][""]["num_items"] == len(name) - 1
    else:
        assert lists.codes == result["tokenizer_reports"] == {}


@pytest.mark.parametrize("model", ["Pop", "SASRec"])
def test_lists_give_the_test_result_also_where_users_have_several_targets(model, tmp_path):
    split = {"split": {"RS": [0.5, 0.1, 0.4]}, "group_by": "user", "order": "TO", "mode": "full"}
    metrics = ["Hit", "Recall", "NDCG", "MRR"]
    data_path = write_toy(tmp_path, missing=False)
    result, lists = load_finished(run(model, data_path, eval_args=split, metrics=metrics))
    assert len(set(lists.users)) < len(lists.users)
    assert len(result["test_result"]) == 8
    for metric, value in result["test_result"].items():
        sums, numbers = ModelRuns(model, [result], [lists]).by_user(metric)
        assert len(sums) == len(set(lists.users))
        assert sums.sum() / numbers.sum() == pytest.approx(value, abs=1e-6)


def test_nothing_is_overwritten_and_the_same_settings_are_found_again(tmp_path):
    data_path = write_toy(tmp_path, missing=False)
    config = config_of("Pop", data_path)
    assert find_finished(config) is None
    first = run("Pop", data_path)
    content = (first / RESULT).read_bytes()
    second = run("Pop", data_path, show_progress=True)  # changes no result: the same run
    assert (first / RESULT).read_bytes() == content
    assert second.name.startswith(first.name) and run_fingerprint(config) in first.name

    assert find_finished(config) in (first, second)
    assert find_finished(config_of("Pop", data_path, seed=8)) is None
    assert find_finished(config_of("Pop", data_path, topk=[5])) is None
    with open(data_path / NAME / f"{NAME}.inter", "a") as file:
        file.write("u0\ti1\t3\t99999\n")
    assert find_finished(config) is None  # other data


def test_files_of_one_name_count_each_and_home_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    data_path = write_toy(tmp_path, missing=False)
    settings = {}
    for key in ("item_embedding_file", "sid_file"):
        (tmp_path / key).mkdir()
        settings[key] = f"~/{key}/ids.txt"
        (tmp_path / key / "ids.txt").write_text(key)
    (tmp_path / "last.pth").write_text("where it goes on from is no data")
    config = config_of("TIGER", data_path, resume=str(tmp_path / "last.pth"), **settings)
    found = data_files(config)
    assert {key: found.pop(key) for key in settings} == {
        key: hashlib.sha256(key.encode()).hexdigest() for key in settings
    }
    assert set(found) == {path.name for path in (data_path / NAME).iterdir()}


def test_files_that_no_run_reads_are_no_part_of_it(tmp_path, monkeypatch):
    """Neither what lies beside the data nor a file that is called like the value of a setting."""
    data_path = write_toy(tmp_path, missing=False)
    monkeypatch.chdir(tmp_path)
    for stray in ("cosine", "adam", f"{NAME}/{NAME}.inter.bak", f"{NAME}/{NAME}.inter.swp"):
        (tmp_path / stray).write_text("stray")
    config = config_of("TIGER", data_path, lr_scheduler="cosine")
    assert set(data_files(config)) == {f"{NAME}.inter", f"{NAME}.item", f"{NAME}.user"}


def test_the_files_of_a_data_set_with_brackets_in_its_name_are_found(tmp_path):
    folder = write_toy(tmp_path, missing=False) / NAME
    for path in folder.iterdir():
        path.rename(path.with_name(path.name.replace(NAME, "toy[1]")))
    folder.rename(tmp_path / "toy[1]")
    config = Config("BPR", "toy[1]", config_dict={"data_path": str(tmp_path)})
    assert set(data_files(config)) == {"toy[1].inter", "toy[1].item", "toy[1].user"}


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), KeyboardInterrupt()])
def test_a_run_that_fails_says_so(error, tmp_path):
    config = config_of("Pop", write_toy(tmp_path, missing=False))
    with pytest.raises(type(error)), recorded_run(config) as recorder:
        assert load_result(recorder.folder)["status"] == "running"
        raise error
    result = load_result(recorder.folder)
    assert result["status"] == "failed"
    assert result["error"]["type"] == type(error).__name__
    assert "raise error" in result["error"]["traceback"]
    with pytest.raises(InputError, match=f"failed: {str(error) or 'KeyboardInterrupt'}"):
        load_finished(recorder.folder)
    assert find_finished(config) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "JSONDecodeError"),
        ("[]", "expected the record of a run"),
        ('{"format": 99}', "expected format 1, found 99"),
    ],
)
def test_what_is_no_record_is_named(content, message, tmp_path):
    if content is not None:
        (tmp_path / RESULT).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        load_result(tmp_path)
    assert str(tmp_path / RESULT) in str(caught.value)


@pytest.mark.parametrize("sets", [(), ("",), ("", "behavior")], ids=str)
def test_recommendations_survive_their_file(sets, tmp_path):
    lists = made_up_recommendations(levels=3, sets=sets)
    lists.save(tmp_path / RECOMMENDATIONS)
    loaded = Recommendations.load(tmp_path / RECOMMENDATIONS)
    np.testing.assert_equal(vars(loaded), vars(lists))


def test_a_run_of_version_0_1_is_read(tmp_path):
    """It has one set of semantic IDs, or an empty array and None for a model without."""
    lists = made_up_recommendations(levels=3)
    report = {"num_items": 40}
    arrays = {name: value for name, value in vars(lists).items() if value is not None}
    arrays["codes"] = lists.codes[""]
    with_ids = write_run(tmp_path / "with", "TIGER", 1, lists)
    without = write_run(tmp_path / "without", "Pop", 1, lists)
    for folder, codes, noted in (
        (with_ids, arrays["codes"], report),
        (without, np.zeros((0, 0)), None),
    ):
        np.savez_compressed(folder / RECOMMENDATIONS, **{**arrays, "codes": codes})
        result = json.loads((folder / RESULT).read_text())
        del result["tokenizer_reports"]
        write_json(folder / RESULT, {**result, "tokenizer_report": noted})
    result, loaded = load_finished(with_ids)
    assert result["tokenizer_reports"] == {"": report}
    assert result["test_results"] == {"unmasked": result["test_result"]}
    assert loaded.protocol == "unmasked" and loaded.in_protocol("masked") is None
    np.testing.assert_equal(loaded.codes, lists.codes)
    result, loaded = load_finished(without)
    assert result["tokenizer_reports"] == loaded.codes == {}


def test_broken_recommendations_are_named(tmp_path):
    folder = write_run(tmp_path / "run", "TIGER", 1, made_up_recommendations())
    (folder / RECOMMENDATIONS).write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(InputError, match=RECOMMENDATIONS):
        load_finished(folder)


def test_json_is_strict_whatever_the_numbers(tmp_path):
    content = {"nan": float("nan"), "inf": [np.float32("inf")], "n": np.int64(3), 4: (True, None)}
    write_json(tmp_path / "a.json", content)
    read = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert read == to_json(content) == {"nan": None, "inf": [None], "n": 3, "4": [True, None]}
