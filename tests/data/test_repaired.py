"""Loading, filtering and preparing features on current numpy and pandas."""

import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import recbole.data.dataset
import torch

from recbole_genrec.config_checks import downloadable_datasets
from recbole_genrec.data.repaired import RepairedDataset
from recbole_genrec.errors import InputError
from recbole_genrec.registry import create_dataset
from tests.runs import LOAD_ALL, toy_config, write_table, write_toy


def general(data_path, **settings):
    return toy_config("BPR", data_path, **settings)


def loaded(data_path, **settings):
    return RepairedDataset(general(data_path, load_col=LOAD_ALL, **settings))


class RecBoleDataset(recbole.data.dataset.Dataset):
    """RecBole's, able to go past missing cells: the padding row of each table has them."""

    _fill_nan = RepairedDataset._fill_nan


FEATURES = {**LOAD_ALL, "item": ["item_id", "brand", "price"]}  # what RecBole can load on pandas 3


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"user_inter_num_interval": "[6,inf)", "item_inter_num_interval": "[3,inf)"},
        {"user_inter_num_interval": "[0,8]", "item_inter_num_interval": "[0,9]"},
        {"user_inter_num_interval": "[4,5];(8,20]"},
        {
            "rm_dup_inter": "last",
            "val_interval": {"rating": "(1,5]", "brand": ["brand1", "brand2"]},
        },
        {"val_interval": {"user_id": ["u1", "u2", "u3"]}},
        {"filter_inter_by_user_or_item": False},
        {"normalize_all": True},
        {"normalize_field": ["price"]},
        {
            "numerical_features": ["price", "rating"],
            "discretization": {"price": {"method": "ED", "bucket": 4}, "rating": {"method": "LD"}},
        },
        {"threshold": {"rating": 3}},
    ],
    ids=str,
)
def test_complete_data_come_out_as_from_recbole(tmp_path, settings):
    config = general(write_toy(tmp_path, missing=False), load_col=FEATURES, **settings)
    ours, theirs = RepairedDataset(config), RecBoleDataset(config)

    for feat in ("inter_feat", "user_feat", "item_feat"):
        pd.testing.assert_frame_equal(getattr(ours, feat), getattr(theirs, feat), check_dtype=False)
    for field, tokens in theirs.field2id_token.items():
        assert ours.field2id_token[field].tolist() == tokens.tolist()
        assert ours.field2token_id[field] == theirs.field2token_id[field]
    assert ours.field2bucketnum == theirs.field2bucketnum
    ours._change_feat_format(), theirs._change_feat_format()
    for feat in ("inter_feat", "user_feat", "item_feat"):
        our_feat, their_feat = getattr(ours, feat), getattr(theirs, feat)
        assert our_feat.columns == their_feat.columns
        assert all(torch.equal(our_feat[field], their_feat[field]) for field in their_feat)


def test_missing_cells_become_padding_means_and_empty_sequences(tmp_path):
    dataset = loaded(write_toy(tmp_path))
    price = dataset.item_feat["price"].to_numpy()
    prices_in_file = [1.5 * (n + 1) for n in range(40) if n % 5]
    dataset._change_feat_format()
    items, users = dataset.item_feat, dataset.user_feat

    lacking = [dataset.token2id("item_id", f"i{n}") for n in range(0, 40, 5)]
    complete = [dataset.token2id("item_id", f"i{n}") for n in range(40) if n % 5]
    for row in [0, *lacking]:
        assert items["brand"][row] == 0
        assert items["title"][row].tolist() == [0, 0, 0]
        assert items["vector"][row].tolist() == [0, 0, 0]
        assert price[row] == pytest.approx(np.mean(prices_in_file))
    assert (items["brand"][complete] > 0).all()
    row = dataset.token2id("item_id", "i8")
    assert [dataset.id2token("title", n) for n in items["title"][row]] == ["word1", "word2", "tail"]
    assert items["vector"][row].tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert users["age"][dataset.token2id("user_id", "u4")] == 0
    assert users["age"][dataset.token2id("user_id", "u5")] > 0


def test_sequences_of_numbers_are_scaled_and_put_into_buckets(tmp_path):
    """Two items with [1, 3] and [5]: RecBole's Series.agg(len) gives one length for both."""
    write_table(
        tmp_path / "toy" / "toy.inter",
        ["user_id:token", "item_id:token", "rating:float", "timestamp:float"],
        [("u", "a", 1, 1), ("u", "b", 1, 2)],
    )
    header = ["item_id:token", "vector:float_seq"]
    write_table(tmp_path / "toy" / "toy.item", header, [("a", "1 3"), ("b", "5")])
    columns = {"inter": LOAD_ALL["inter"], "item": ["item_id", "vector"]}

    scaled = RepairedDataset(general(tmp_path, load_col=columns, normalize_field=["vector"]))
    assert [v.tolist() for v in scaled.item_feat["vector"]] == [[], [0.0, 0.5], [1.0]]

    buckets = {"vector": {"method": "ED", "bucket": 2}}
    settings = {"numerical_features": ["vector"], "discretization": buckets}
    bucketed = RepairedDataset(general(tmp_path, load_col=columns, **settings))
    bucketed._change_feat_format()
    # (value 1, bucket): 1 and 3 - a little less than half way - in the first, 5 in the second
    assert bucketed.item_feat["vector"].tolist() == [
        [[0, 0], [0, 0]],
        [[1, 1], [1, 1]],
        [[1, 2], [0, 0]],
    ]
    assert bucketed.num("vector") == 3


def test_rows_without_user_or_item_are_dropped_and_no_others(tmp_path):
    rows = [(None, "a", 1), ("u", "b", 2), ("u", None, 3), ("u", "c", 4), ("v", "d", 5)]
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    write_table(tmp_path / "toy" / "toy.inter", header, rows)
    dataset = RepairedDataset(general(tmp_path, load_col={"inter": "*"}))
    assert dataset.id2token("item_id", dataset.inter_feat["item_id"].to_numpy()).tolist() == [
        *("b", "c", "d")
    ]


def test_first_of_equal_times_is_kept_when_duplicates_go(tmp_path):
    rows = [(f"u{n % 50}", "a", 7 * n % 3, n) for n in range(3000)]
    header = ["user_id:token", "item_id:token", "timestamp:float", "place:float"]
    write_table(tmp_path / "toy" / "toy.inter", header, rows)
    dataset = RepairedDataset(general(tmp_path, load_col={"inter": "*"}, rm_dup_inter="first"))
    first = {}
    for user, _, _, place in sorted(rows, key=lambda row: row[2]):  # Python's sort is stable
        first.setdefault(user, place)
    assert sorted(dataset.inter_feat["place"]) == sorted(first.values())


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    data_path = write_toy(tmp_path)
    file = data_path / "toy" / "toy.inter"
    expected = RepairedDataset(general(data_path)).inter_num
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert RepairedDataset(general(data_path)).inter_num == expected


def test_quotation_marks_and_the_token_na_are_text(tmp_path):
    write_table(
        tmp_path / "toy" / "toy.inter",
        ["user_id:token", "item_id:token", "timestamp:float"],
        [("u", "NA", 1), ("u", '"b', 2), ("v", "null", 3), ("v", '"b', 4)],
    )
    header = ["item_id:token", "title:token_seq"]
    titles = [("NA", '"Weird" Al'), ('"b', '12" vinyl'), ("null", 'say "no')]
    write_table(tmp_path / "toy" / "toy.item", header, titles)
    dataset = RepairedDataset(general(tmp_path, load_col={"inter": "*", "item": "*"}))
    assert dataset.inter_num == 4
    assert dataset.field2id_token["item_id"].tolist() == ["[PAD]", "NA", '"b', "null"]
    title = dataset.item_feat["title"][2]
    assert dataset.id2token("title", title).tolist() == ['12"', "vinyl"]


def test_no_deprecated_pandas_and_no_read_only_memory(tmp_path):
    data_path = write_toy(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = loaded(
            data_path,
            rm_dup_inter="first",
            user_inter_num_interval="[2,inf)",
            val_interval={"rating": "[1,inf)"},
            threshold={"rating": 3},
        )
        dataset._change_feat_format()
        dataset.sort("user_id")
    dataset.inter_feat["timestamp"] += 1  # writes to memory of its own


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ("none", {"USER_ID_FIELD": "uid"}, r"toy\.inter: no column \[uid\] \(USER_ID_FIELD\)"),
        ("none", {"TIME_FIELD": "when"}, r"toy\.inter: no column \[when\] \(TIME_FIELD\)"),
        (
            "none",
            {"load_col": {**LOAD_ALL, "item": ["item_id", "titel"]}},
            r"toy\.item: no column \[titel\] \(load_col\); its columns are .*'title'",
        ),
        ("no file", {}, r"there is no file .*toy\.inter"),
        ("header", {}, r"toy\.inter: expected a header of cells name:type .* found \[item_id\]"),
        ("number", {}, r"toy\.inter: .*abc"),
        ("encoding", {}, r"toy\.inter: 'utf-8' codec can't decode"),
        ("none", {"item_inter_num_interval": "[999,inf)"}, r"\[toy\]: nothing is left of"),
        ("none", {"val_interval": {"stars": "[1,2]"}}, r"val_interval: .*\[stars\]"),
        (
            "none",
            {"val_interval": {"rating": "3"}},
            r'val_interval rating .*"\[5,inf\)", found \[3\]',
        ),
        ("none", {"val_interval": {"user_id": "u1"}}, r"val_interval user_id .* found \[u1\]"),
        ("none", {"item_inter_num_interval": 5}, r"item_inter_num_interval should be .* found \[5"),
        (
            "none",
            {"user_inter_num_interval": "[9,3]"},
            "user_inter_num_interval should be an inter",
        ),
        (
            "none",
            {"user_inter_num_interval": "[3,x)"},
            "user_inter_num_interval should be an inter",
        ),
        ("none", {"user_inter_num_interval": ""}, "user_inter_num_interval should be an interval"),
        ("none", {"threshold": {"stars": 3}}, r"threshold: no column \[stars\]"),
        ("none", {"numerical_features": ["price"]}, r"numerical_features: no column \[price\]"),
        ("none", {"field_separator": ","}, r"separated by \[','\] \(field_separator\), found"),
    ],
)
def test_bad_files_and_columns_are_named(tmp_path, change, settings, message):
    data_path = write_toy(tmp_path)
    file = data_path / "toy" / "toy.inter"
    if change == "no file":
        file.unlink()
    elif change == "header":
        file.write_text(file.read_text().replace("item_id:token", "item_id", 1))
    elif change == "encoding":
        file.write_bytes(file.read_bytes() + b"u\t\xe9\t1\t1\n")
    elif change == "number":
        write_table(
            file,
            ["user_id:token", "item_id:token", "rating:float", "timestamp:float"],
            [("u", "i1", "abc", 1)],
        )
    if "TIME_FIELD" in settings or "USER_ID_FIELD" in settings:
        config = toy_config("SASRec", data_path, load_col={"inter": "*"}, **settings)
    else:
        config = general(data_path, **settings)
    with pytest.raises(InputError, match=message):
        RepairedDataset(config)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("BPR", {"threshold": 3}, r"threshold should be a dict .*found \[3\]"),
        ("BPR", {"threshold": {"rating": "x"}}, "threshold should be one column with its least"),
        (
            "BPR",
            {"load_col": ["user_id"]},
            r"load_col should be a dict with columns of inter, found \[\['user_id'\]\]",
        ),
        ("BPR", {"load_col": {"inter": "user_id"}}, "load_col inter should be a list of columns"),
        ("BPR", {"load_col": {"iter": ["user_id"]}}, "load_col should be a dict with columns"),
        ("BPR", {"field_separator": ""}, "field_separator should be text"),
        ("BPR", {"rm_dup_inter": "frist"}, r"rm_dup_inter should be .* found \[frist\]"),
        (
            "SASRec",
            {"TIME_FIELD": None},
            r"TIME_FIELD should name the column of eval_args order TO",
        ),
        (
            "TIGER",
            {"train_neg_sample_args": {"distribution": "uniform"}},
            "train_neg_sample_args should be null for TIGER",
        ),
    ],
    ids=str,
)
def test_settings_of_a_wrong_form_are_refused_before_data_are_read(
    tmp_path, model, settings, message
):
    (tmp_path / "toy").mkdir()  # without files
    with pytest.raises(InputError, match=message):
        create_dataset(toy_config(model, tmp_path, **settings))


@pytest.mark.parametrize("time", ["empty", "truncated", "text"])
def test_an_order_by_time_needs_the_time_of_every_row(tmp_path, caplog, time):
    kind = "token" if time == "text" else "float"
    lines = [f"user_id:token\titem_id:token\ttimestamp:{kind}", "u\ta\t1", "u\tb\t", "u\tc\t3"]
    if time == "truncated":
        lines = [lines[0], lines[1], lines[3], "u\tb"]
    elif time == "text":
        lines[2] = "u\tb\t2"
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy.inter").write_text("\n".join(lines))
    wrong = {
        "empty": "missing in 1 rows, the first of them line 3",
        "truncated": "missing in 1 rows, the first of them line 4",
        "text": "should be of type float to order by it, found token",
    }[time]
    columns = {"inter": "*"}
    with pytest.raises(InputError, match=rf"toy\.inter: column \[timestamp\] .*{wrong}"):
        RepairedDataset(toy_config("SASRec", tmp_path, load_col=columns))
    caplog.clear()
    assert RepairedDataset(general(tmp_path, load_col=columns)).inter_num == 3  # in random order
    assert (wrong in caplog.text) == (time != "text")


def test_tokens_of_a_filter_may_look_like_numbers(tmp_path):
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    write_table(tmp_path / "toy" / "toy.inter", header, [("1", "a", 1), ("2", "b", 2)])
    settings = {"load_col": {"inter": "*"}, "val_interval": {"user_id": [1]}}
    assert RepairedDataset(general(tmp_path, **settings)).inter_num == 1


def test_columns_of_property_files_may_be_absent(tmp_path):
    """`load_col` of our YAML names what any of the known files may have."""
    config = general(write_toy(tmp_path))
    del config.external_config_dict["load_col"]  # as if a property file had set it
    config["load_col"] = {"inter": ["user_id", "item_id", "timestamp", "stars"]}
    assert set(RepairedDataset(config).inter_feat) == {"user_id", "item_id", "timestamp"}


def test_download_fills_the_folder_only_when_complete(tmp_path, monkeypatch):
    source = write_toy(tmp_path / "source") / "toy"
    archive = tmp_path / "Toy_Set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in source.iterdir():
            file.write(path, path.name.replace("toy", "Toy_Set"))
    names = downloadable_datasets() | {"toy"}
    monkeypatch.setattr("recbole_genrec.config_checks.downloadable_datasets", lambda: names)
    monkeypatch.setattr(RepairedDataset, "_get_download_url", lambda *_: archive.as_uri())
    target = tmp_path / "dataset"

    failed = r"toy, and the download of \[file.* failed: disk full"
    with monkeypatch.context() as broken, pytest.raises(InputError, match=failed):
        broken.setattr("recbole_genrec.data.repaired.extract_zip", _full_disk)
        RepairedDataset(general(target))
    assert list(target.iterdir()) == []

    assert RepairedDataset(general(target)).inter_num > 0
    assert sorted(path.name for path in (target / "toy").iterdir()) == [
        *("toy.inter", "toy.item", "toy.user")
    ]


def _full_disk(*_):
    raise OSError("disk full")
