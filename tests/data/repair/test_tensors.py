"""Filtering and preparing features on current numpy and pandas."""

import warnings

import numpy as np
import pandas as pd
import pytest
import recbole.data.dataset
import torch

from recbole_genrec.data.repair.tensors import RepairedDataset
from tests.small import LOAD_ALL, toy_config, write_table, write_toy


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


def test_tokens_of_a_filter_may_look_like_numbers(tmp_path):
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    write_table(tmp_path / "toy" / "toy.inter", header, [("1", "a", 1), ("2", "b", 2)])
    settings = {"load_col": {"inter": "*"}, "val_interval": {"user_id": [1]}}
    assert RepairedDataset(general(tmp_path, **settings)).inter_num == 1
