"""Reading atomic files, downloading them, and what is said of those that cannot be read."""

import re
import threading
import zipfile

import numpy as np
import pytest

from recbole_genrec.config.checks import downloadable_datasets
from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.data.repair.tensors import RepairedDataset
from recbole_genrec.errors import InputError
from tests.small import LOAD_ALL, toy_config, write_table, write_toy


def general(data_path, **settings):
    return toy_config("BPR", data_path, **settings)


def loaded(data_path, **settings):
    return RepairedDataset(general(data_path, load_col=LOAD_ALL, **settings))


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
        ("number", {}, r"toy\.inter, line 2: column \[rating\] .* found \[abc\]"),
        ("encoding", {}, r"toy\.inter is not in the encoding utf-8: .*can't decode"),
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
        ("none", {"alias_of_item_id": ["items"]}, r"alias_of_item_id: no token column \[items\]"),
        ("none", {"unused_col": {"itm": ["price"]}}, r"unused_col: nothing is loaded of \[itm\]"),
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
        (
            "BPR",
            {"benchmark_filename": []},
            r"benchmark_filename should be a list .* found \[\[\]\]",
        ),
        ("BPR", {"benchmark_filename": "train"}, "benchmark_filename should be a list"),
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
            "train_neg_sample_args should be None for TIGER",
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


@pytest.mark.parametrize("time", ["empty", "text"])
def test_an_order_by_time_needs_the_time_of_every_row(tmp_path, caplog, time):
    kind = "token" if time == "text" else "float"
    lines = [f"user_id:token\titem_id:token\ttimestamp:{kind}", "u\ta\t1", "u\tb\t", "u\tc\t3"]
    if time == "text":
        lines[2] = "u\tb\t2"
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy.inter").write_text("\n".join(lines))
    wrong = {
        "empty": r"missing in 1 rows, first in .*toy\.inter, line 3",
        "text": "should be of type float to order by it, found token",
    }[time]
    columns = {"inter": "*"}
    with pytest.raises(InputError, match=rf"toy\.inter: column \[timestamp\] .*{wrong}"):
        RepairedDataset(toy_config("SASRec", tmp_path, load_col=columns))
    caplog.clear()
    assert RepairedDataset(general(tmp_path, load_col=columns)).inter_num == 3  # in random order
    assert bool(re.search(wrong, caplog.text)) == (time != "text")


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
    monkeypatch.setattr("recbole_genrec.config.checks.downloadable_datasets", lambda: names)
    monkeypatch.setattr(RepairedDataset, "_get_download_url", lambda *_: archive.as_uri())
    target = tmp_path / "dataset"

    failed = r"toy, and the download of \[file.* failed: disk full"
    with monkeypatch.context() as broken, pytest.raises(InputError, match=failed):
        broken.setattr("recbole_genrec.data.repair.download.extract_zip", _full_disk)
        RepairedDataset(general(target))
    assert list(target.iterdir()) == []

    assert RepairedDataset(general(target)).inter_num > 0
    assert sorted(path.name for path in (target / "toy").iterdir()) == [
        *("toy.inter", "toy.item", "toy.user")
    ]


def test_a_host_that_does_not_answer_is_given_up_soon(tmp_path, monkeypatch):
    names = downloadable_datasets() | {"toy"}
    monkeypatch.setattr("recbole_genrec.config.checks.downloadable_datasets", lambda: names)
    monkeypatch.setattr(RepairedDataset, "_get_download_url", lambda *_: "http://nowhere/toy.zip")
    monkeypatch.setattr("recbole_genrec.data.repair.download.PATIENCE", 0.2)
    silence = threading.Event()

    def wait_in_vain(*_, timeout):
        silence.wait(60)
        raise TimeoutError

    monkeypatch.setattr("recbole_genrec.data.repair.download.urlopen", wait_in_vain)
    with pytest.raises(InputError, match=r"no answer within 0 seconds.* by hand, named toy\.inter"):
        RepairedDataset(general(tmp_path / "dataset"))
    silence.set()


def test_columns_of_ids_are_tokens(tmp_path):
    data_path = write_toy(tmp_path)
    file = data_path / "toy" / "toy.inter"
    header, *rows = file.read_text().splitlines()
    rows = [row.replace("i", "") for row in rows]
    file.write_text("\n".join([header.replace("item_id:token", "item_id:float"), *rows]))
    with pytest.raises(InputError, match=r"\[item_id\] \(ITEM_ID_FIELD\) .* token, found float"):
        RepairedDataset(general(data_path))


def test_infinite_numbers_are_refused_in_interactions_and_missing_in_features(tmp_path, caplog):
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    write_table(tmp_path / "toy" / "toy.inter", header, [("u", "a", 1), ("u", "b", 2)])
    prices = [("a", "inf"), ("b", 3)]
    write_table(tmp_path / "toy" / "toy.item", ["item_id:token", "price:float"], prices)
    columns = {"inter": "*", "item": "*"}
    dataset = RepairedDataset(general(tmp_path, load_col=columns))
    assert dataset.item_feat["price"].tolist() == [3, 3, 3]  # as other missing prices: the mean
    assert "toy.item, line 2: column [price] is infinite, in 1 rows" in caplog.text

    write_table(tmp_path / "toy" / "toy.inter", header, [("u", "a", 1), ("u", "b", "inf")])
    with pytest.raises(InputError, match=r"toy\.inter, line 3: column \[timestamp\] is infinite"):
        RepairedDataset(general(tmp_path, load_col=columns))


def test_a_file_without_rows_is_named(tmp_path):
    data_path = write_toy(tmp_path)
    write_table(data_path / "toy" / "toy.item", ["item_id:token", "title:token_seq"], [])
    with pytest.raises(InputError, match=r"toy\.item has a header and no rows"):
        RepairedDataset(general(data_path, load_col={"inter": "*", "item": "*"}))


def test_ids_that_are_written_in_two_ways_are_shown(tmp_path):
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    write_table(tmp_path / "toy" / "toy.inter", header, [("u", "5.0", 1), ("u", "6.0", 2)])
    write_table(tmp_path / "toy" / "toy.item", ["item_id:token", "brand:token"], [("5", "x")])
    with pytest.raises(
        InputError, match=r"toy\.item: .* found \[5\] here and \[5\.0, 6\.0\] there"
    ):
        RepairedDataset(general(tmp_path, load_col={"inter": "*", "item": "*"}))


def test_a_packed_file_is_pointed_at(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy.inter.gz").touch()
    with pytest.raises(InputError, match=r"there is no file .*toy\.inter, only toy\.inter\.gz"):
        RepairedDataset(general(tmp_path))


# ---- additional files, as in RecBole's documentation of pre-trained embeddings


def pretrained(data_path, suffix="vec", **settings):
    return general(
        data_path,
        **{
            "additional_feat_suffix": suffix,
            "load_col": {"inter": LOAD_ALL["inter"], "vec": ["iid", "vector"]},
            "alias_of_item_id": ["iid"],
            "preload_weight": {"iid": "vector"},
            **settings,
        },
    )


def write_vectors(data_path, names):
    rows = [(name, f"{place} {2 * place}") for place, name in enumerate(names)]
    write_table(data_path / "toy" / "toy.vec", ["iid:token", "vector:float_seq"], rows)


@pytest.mark.parametrize("suffix", ["vec", ["vec"]])
def test_pretrained_embeddings_are_preloaded_by_item(tmp_path, suffix):
    data_path = write_toy(tmp_path)
    few = {"item_inter_num_interval": "[5,inf)"}
    plain = RepairedDataset(general(data_path, **few))
    write_vectors(data_path, [f"i{item}" for item in range(60)])  # 20 nobody has seen
    dataset = RepairedDataset(pretrained(data_path, suffix, **few))
    assert dataset.item_num == plain.item_num < 41  # the file adds no item
    assert dataset.field2id_token["iid"].tolist() == plain.field2id_token["item_id"].tolist()
    weights = dataset.get_preload_weight("iid")
    assert weights.dtype == np.float32
    for index, token in enumerate(dataset.field2id_token["item_id"][1:], 1):
        assert weights[index].tolist() == [int(token[1:]), 2 * int(token[1:])]


@pytest.mark.parametrize("weights", [{"iid": "vector"}, None])
def test_an_additional_file_of_other_items_is_refused(tmp_path, weights):
    data_path = write_toy(tmp_path)
    write_vectors(data_path, ["0", "1"])
    with pytest.raises(
        InputError, match=r"toy\.vec: column \[iid\] .* \[item_id\]: found \[0, 1\]"
    ):
        RepairedDataset(pretrained(data_path, preload_weight=weights))


def test_items_without_pretrained_embeddings_are_said(tmp_path, caplog):
    data_path = write_toy(tmp_path)
    write_vectors(data_path, ["i3", "i4"])
    weights = RepairedDataset(pretrained(data_path)).get_preload_weight("iid")
    assert (weights != 0).any(axis=1).sum() == 1  # the row of i3 holds zeros
    assert "toy.vec lacks 38 of 40 tokens of [item_id], whose weights are 0: i" in caplog.text


def test_pretrained_embeddings_that_nobody_can_look_up_are_said(tmp_path, caplog):
    data_path = write_toy(tmp_path)
    write_vectors(data_path, ["i3", "i4"])
    RepairedDataset(pretrained(data_path, alias_of_item_id=None))
    assert "preload_weight [iid]: its tokens are numbered by themselves" in caplog.text


def test_other_tokens_of_additional_files_are_numbered(tmp_path):
    data_path = write_toy(tmp_path)
    write_table(data_path / "toy" / "toy.shop", ["shop:token", "size:float"], [("s", 1), ("t", 2)])
    dataset = RepairedDataset(
        general(
            data_path,
            additional_feat_suffix=["shop"],
            load_col={"inter": LOAD_ALL["inter"], "shop": ["shop", "size"]},
            preload_weight={"shop": "size"},
        )
    )
    assert dataset.get_preload_weight("shop").tolist() == [0, 1, 2]


def _full_disk(*_):
    raise OSError("disk full")
