"""From data set to loaders."""

import pytest
import torch

from recbole_genrec import quick_start
from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.errors import InputError
from recbole_genrec.quick_start import run_recbole_genrec
from tests.small import prepare, toy_config, write_table, write_toy


def batches(run):
    return [batch["item_id_list"] for batch in run.train]


def test_nothing_to_train_on_is_said(tmp_path):
    data_path = write_toy(tmp_path)
    file = data_path / "toy" / "toy.inter"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))  # one interaction
    with pytest.raises(InputError, match=r"\[toy\]: no training sample is left"):
        prepare(toy_config("SASRec", data_path))


def test_a_split_has_three_parts(tmp_path):
    data_path = write_toy(tmp_path)
    header, *rows = (data_path / "toy" / "toy.inter").read_text().splitlines()
    for name, part in (("one", rows[::2]), ("two", rows[1::2])):
        (data_path / "toy" / f"toy.{name}.inter").write_text("\n".join([header, *part]))
    with pytest.raises(InputError, match=r"expected three parts, .* found 2 "):
        prepare(toy_config("BPR", data_path, benchmark_filename=["one", "two"]))


@pytest.mark.parametrize(
    ("model", "eval_args", "message"),
    [
        ("SASRec", {"order": "RO"}, r"order should be TO for sequential models, found \[RO\]"),
        ("BPR", {"order": "XX"}, r"order should be RO .* found \[XX\]"),
        ("BPR", {"split": None}, r"split should be one of .* found \[None\]"),
        ("BPR", {"split": {}}, r"split should be one of .* found \[{}\]"),
        ("BPR", {"split": {"XX": [8, 1, 1]}}, r"split should be one of .* found \[{'XX'"),
        (
            "BPR",
            {"split": {"RS": [8, 1]}},
            r"split RS should be three shares, .* found \[\[8, 1\]\]",
        ),
        ("BPR", {"split": {"TS": [8, "1", 1]}}, r"split TS should be three shares, .* found"),
        ("BPR", {"split": {"RS": [0, 1, 1]}}, "split RS leaves nothing to train on"),
        (
            "BPR",
            {"split": {"LS": "foo"}},
            r"split LS should be one of valid_and_test, .* found \[foo\]",
        ),
        ("BPR", {"group_by": "brand"}, r"group_by should be user or none, found \[brand\]"),
        ("SASRec", {"mode": "unipop"}, r"mode should be full, or uniN .* found \[unipop\]"),
        ("SASRec", {"mode": {"test": "uni0"}}, r"mode should be full, .* found \[uni0\]"),
        ("SASRec", {"mode": {"tst": "full"}}, "mode has the keys valid and test, found"),
        ("SASRec", {"mode": "full", "metrics": ["AUC"]}, "mode full ranks all items, and metrics"),
        ("TIGER", {"mode": "labeled"}, r"mode labeled is for value metrics .* found .*'NDCG'"),
    ],
    ids=str,
)
def test_wrong_eval_args_are_refused_before_data_are_read(tmp_path, model, eval_args, message):
    (tmp_path / "toy").mkdir()  # without files
    with pytest.raises(InputError, match=f"eval_args {message}"):
        metrics = {key: eval_args[key] for key in ("metrics",) if key in eval_args}
        metrics |= {"valid_metric": "AUC"} if metrics else {}
        eval_args = {key: value for key, value in eval_args.items() if key not in metrics}
        toy_config(model, tmp_path, eval_args=eval_args, **metrics)


def users_of(loader):
    dataset = loader.dataset
    users = dataset.inter_feat["user_id"].unique().numpy()
    return set(dataset.id2token("user_id", users))


def test_validation_takes_the_same_users_for_every_model_and_the_test_all(tmp_path, caplog):
    data_path, chosen = write_toy(tmp_path), {}
    leave_one_out = {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO"}
    for model in ("SASRec", "BPR"):
        settings = {"valid_users": 9, "eval_args": leave_one_out}
        run = prepare(toy_config(model, data_path, **settings))
        chosen[model] = users_of(run.valid)
        assert len(chosen[model]) == 9 and len(run.valid.dataset) == 9
        assert len(users_of(run.test)) == 30
    assert chosen["SASRec"] == chosen["BPR"]
    fewer = prepare(toy_config("SASRec", data_path, valid_users=4))
    assert users_of(fewer.valid) < chosen["SASRec"]
    others = prepare(toy_config("SASRec", data_path, valid_users=9, seed=8))
    assert users_of(others.valid) != chosen["SASRec"]
    caplog.set_level("INFO")
    everyone = prepare(toy_config("SASRec", data_path, valid_users=31))
    assert len(users_of(everyone.valid)) == 30
    assert "valid_users [31]: validation has 30 users, all are taken" in caplog.text


def test_users_of_a_sampled_validation_can_be_chosen_too(tmp_path):
    settings = {"valid_users": 5, "eval_args": {"mode": "uni10"}}
    run = prepare(toy_config("BPR", write_toy(tmp_path), **settings))
    assert len(users_of(run.valid)) == 5
    assert sum(len(set(batch[0]["user_id"].tolist())) for batch in run.valid) == 5


def test_what_recbole_refuses_comes_out_as_one_error(tmp_path):
    config = toy_config("SASRec", write_toy(tmp_path), unload_col={"inter": ["rating"]})
    with pytest.raises(InputError, match=r"RecBole refuses .* load_col .* and unload_col"):
        create_dataset(config)


def test_errors_of_ours_keep_their_type(tmp_path, monkeypatch):
    def broken(dataset):
        raise ValueError("a mistake of the program")

    monkeypatch.setattr("recbole_genrec.data.dataset.GenRecDataset._normalize", broken)
    with pytest.raises(ValueError, match="a mistake") as raised:
        create_dataset(toy_config("SASRec", write_toy(tmp_path)))
    assert raised.type is ValueError


def test_workers_gather_histories_too(tmp_path):
    data_path = write_toy(tmp_path)
    alone = batches(prepare(toy_config("SASRec", data_path)))
    together = batches(prepare(toy_config("SASRec", data_path, worker=2)))
    assert all(torch.equal(one, two) for one, two in zip(alone, together, strict=True))


@pytest.mark.parametrize(
    ("model", "settings", "reader"),
    [
        ("DeepFM", {}, "DeepFM"),
        ("DIN", {"train_neg_sample_args": None}, "DIN"),
        ("NeuMF", {"train_neg_sample_args": None}, "NeuMF"),
        ("BPR", {"eval_args": {"mode": "labeled"}}, "eval_args mode labeled"),
    ],
)
def test_labels_that_nothing_gives_are_missed_before_training(
    tmp_path, monkeypatch, model, settings, reader
):
    monkeypatch.chdir(tmp_path)
    settings = {"metrics": ["AUC"], "valid_metric": "AUC", "embedding_size": 8, **settings}
    if model == "NeuMF":
        settings |= {"metrics": ["Recall"], "valid_metric": "Recall@5"}
    config = toy_config(model, write_toy(tmp_path), **settings).external_config_dict
    with pytest.raises(InputError, match=rf"{reader} needs labels, .* no column \[label\]"):
        run_recbole_genrec(model, "toy", config_dict=config)


def test_labels_by_threshold_are_enough(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"metrics": ["AUC"], "valid_metric": "AUC", "threshold": {"rating": 3}}
    config = toy_config("DeepFM", write_toy(tmp_path), embedding_size=8, **settings)
    result = run_recbole_genrec("DeepFM", "toy", config_dict=config.external_config_dict)
    assert 0 <= result["test_result"]["auc"] <= 1


@pytest.mark.parametrize("model", ["SASRec", "SemanticSASRec", "BPR"])
def test_a_split_whose_test_has_new_items_alone_is_refused(model, tmp_path, monkeypatch):
    """Before the stages; where one of them is known there is something to test."""
    rows = [(f"u{n % 5}", f"i{n % 7}", n) for n in range(40)]
    parts = [rows, [(f"u{n}", "i1", 50) for n in range(5)]]
    parts.append([(f"u{n}", f"new{n}", 60) for n in range(5)])
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    texts = [(item, f"text of {item}") for item in {row[1] for part in parts for row in part}]
    write_table(tmp_path / "toy" / "toy.item", ["item_id:token", "title:token_seq"], texts)
    settings = {
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "item_text_fields": ["title"],
        "tokenizer": "Random",
        "codebook_sizes": [4, 4],
    }
    for name, part in zip(settings["benchmark_filename"], parts, strict=True):
        write_table(tmp_path / "toy" / f"toy.{name}.inter", header, part)
    config = toy_config(model, tmp_path, **settings)
    message = r"\[toy\]: all 5 items of the test are new, expected some of the 7 that training"
    with monkeypatch.context() as patched, pytest.raises(InputError, match=message):
        patched.setattr(quick_start, "run_stages", pytest.fail)
        prepare(config)
    parts[2][0] = ("u0", "i3", 60)
    write_table(tmp_path / "toy" / "toy.test.inter", header, parts[2])
    assert prepare(config).test is not None
