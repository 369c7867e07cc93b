"""Histories as index ranges: the same samples and batches as RecBole's copies."""

import numpy as np
import pytest
import torch

from recbole_genrec.data.dataset import GenRecDataset
from recbole_genrec.data.histories import HISTORY_END
from tests.small import RecBoleSequentialDataset, toy_config, write_table, write_toy


def sequential(data_path, **settings):
    return toy_config("SASRec", data_path, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"MAX_ITEM_LIST_LENGTH": 1},
        {"MAX_ITEM_LIST_LENGTH": 50},
        {"eval_args": {"split": {"LS": "valid_only"}}},
        {"eval_args": {"split": {"RS": [0.7, 0.2, 0.1]}}},
        {"normalize_all": True},
        {"numerical_features": ["rating"]},
        {"unused_col": {"inter": ["rating", "timestamp_list"]}},
    ],
    ids=str,
)
def test_splits_and_batches_equal_those_of_recbole(tmp_path, settings):
    config = sequential(write_toy(tmp_path), **settings)
    ours = GenRecDataset(config).build()
    theirs = RecBoleSequentialDataset(config).build()

    for our_split, their_split in zip(ours, theirs, strict=True):
        assert len(our_split) == len(their_split)
        for index in (np.arange(len(our_split)), slice(0, 3), [2, 0], torch.tensor([1])):
            if len(our_split) == 0:
                continue
            our_batch, their_batch = our_split[index], their_split[index]
            assert our_batch.columns == their_batch.columns
            for field in their_batch:
                assert our_batch[field].dtype == their_batch[field].dtype, field
                assert torch.equal(our_batch[field], their_batch[field]), field
        assert our_split.field2type == their_split.field2type
        assert our_split.field2seqlen == their_split.field2seqlen


def test_sequences_of_words_and_numbers_in_interactions_are_gathered_too(tmp_path):
    rows = [
        ("u", "a", 1, "x y z", "0.5"),
        ("u", "b", 2, None, "1 2"),
        ("u", "c", 3, "z", None),
        ("u", "d", 4, "y", "3"),
    ]
    header = ["user_id:token", "item_id:token", "timestamp:float", "tags:token_seq", "v:float_seq"]
    write_table(tmp_path / "toy" / "toy.inter", header, rows)
    config = sequential(tmp_path, load_col={"inter": "*"}, MAX_ITEM_LIST_LENGTH=2)
    dataset = GenRecDataset(config)
    dataset._change_feat_format()

    batch = dataset[torch.tensor([2, 0])]  # d after <b, c>; b after <a>

    x, y, z = (dataset.token2id("tags", word) for word in "xyz")
    assert batch["tags_list"].tolist() == [[[0, 0, 0], [z, 0, 0]], [[x, y, z], [0, 0, 0]]]
    assert batch["v_list"].tolist() == [[[1, 2], [0, 0]], [[0.5, 0], [0, 0]]]
    assert batch["item_id_list"].tolist() == [[2, 3], [1, 0]]
    assert batch["item_length"].tolist() == [2, 1]


def test_memory_is_that_of_the_interactions(tmp_path):
    """A copy of each prefix would hold 500 times 1,000 ids."""
    rows = [("u", f"i{n}", n) for n in range(1000)]
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    write_table(tmp_path / "toy" / "toy.inter", header, rows)
    columns = {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
    dataset = GenRecDataset(sequential(tmp_path, MAX_ITEM_LIST_LENGTH=500, **columns))
    dataset._change_feat_format()
    stored = [dataset.inter_feat[field] for field in dataset.inter_feat]
    stored += [dataset._events[field] for field in dataset._events]
    assert sum(tensor.numel() for tensor in stored) < 10 * len(rows)
    assert dataset[998]["item_id_list"].shape == (500,)


@pytest.mark.parametrize("max_length", [1, 6])
def test_first_items_count_in_popularity_and_in_the_matrix(tmp_path, max_length):
    rows = [("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ("v", "a", 1), ("v", "c", 2)]
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    write_table(tmp_path / "toy" / "toy.inter", header, rows)
    columns = {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
    dataset = GenRecDataset(sequential(tmp_path, MAX_ITEM_LIST_LENGTH=max_length, **columns))
    dataset._change_feat_format()

    a, b, c = (dataset.token2id("item_id", token) for token in "abc")
    assert dataset.item_counter == {a: 2, b: 1, c: 2}
    assert dataset.target_counts.tolist() == [0, 0, 1, 2]
    assert dataset.inter_matrix(form="csr").toarray()[1:, 1:].tolist() == [[1, 1, 1], [1, 0, 1]]
    times = dataset.inter_matrix(value_field="timestamp").toarray()
    assert times[1:, 1:].tolist() == [[1, 2, 3], [1, 0, 2]]


def test_statistics_of_a_causal_split_are_those_of_all_its_samples(tmp_path):
    data_path = write_toy(tmp_path)
    whole = GenRecDataset(sequential(data_path)).build()[0]
    causal = GenRecDataset(toy_config("TIGER", data_path, history_attention="causal")).build()[0]
    assert len(causal) < len(whole)
    assert causal.item_counter == whole.item_counter
    assert torch.equal(causal.target_counts, whole.target_counts)
    assert (causal.inter_matrix(form="csr") != whole.inter_matrix(form="csr")).nnz == 0


def test_models_of_recbole_train_on_every_sample(tmp_path):
    data_path = write_toy(tmp_path)
    whole = GenRecDataset(sequential(data_path)).build()[0]
    shared = GenRecDataset(sequential(data_path, history_attention="causal")).build()[0]
    assert len(shared) == len(whole)


def test_order_is_that_of_the_file_clock_not_of_float32(tmp_path):
    """Unix seconds a minute apart: float32 resolves 128 s, and the file is not in time order."""
    rng = np.random.default_rng(3)
    rows = [("u", f"i{n:02}", 1_700_000_000 + 60 * n) for n in range(40)]
    rows += [("v", f"i{n:02}", 1_700_000_000) for n in range(5)]  # ties keep the order of the file
    shuffled = [rows[n] for n in rng.permutation(40)] + rows[40:]
    header = ["user_id:token", "item_id:token", "timestamp:float"]
    write_table(tmp_path / "toy" / "toy.inter", header, shuffled)
    columns = {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
    dataset = GenRecDataset(sequential(tmp_path, MAX_ITEM_LIST_LENGTH=50, **columns))
    train, valid, test = dataset.build()

    for user, expected in (("u", [row[1] for row in rows[:40]]), ("v", [r[1] for r in rows[40:]])):
        sample = test[test.inter_feat["user_id"] == test.token2id("user_id", user)]
        history = sample["item_id_list"][0, : sample["item_length"][0]].tolist()
        found = test.id2token("item_id", [*history, sample["item_id"].item()]).tolist()
        assert found == expected


def test_samples_keep_their_histories_through_sort_shuffle_and_copy(tmp_path):
    dataset = GenRecDataset(sequential(write_toy(tmp_path)))
    dataset._change_feat_format()
    before = dataset[np.arange(len(dataset))]
    history_of = {
        (u, i, n): h
        for u, i, n, h in zip(
            before["user_id"].tolist(),
            before["item_id"].tolist(),
            before["item_length"].tolist(),
            before["item_id_list"].tolist(),
            strict=True,
        )
    }
    dataset.shuffle()
    dataset.sort(by="item_id", ascending=False)
    copied = dataset.copy(dataset.inter_feat[torch.tensor([5, 1, 7])])
    after = copied[:]
    for n in range(3):
        key = tuple(after[field][n].item() for field in ("user_id", "item_id", "item_length"))
        assert after["item_id_list"][n].tolist() == history_of[key]


def test_presplit_files_have_the_length_of_each_history(tmp_path):
    """With pandas 3, RecBole takes the number of rows for the length of every history."""
    header = ["user_id:token", "item_id:token", "item_id_list:token_seq"]
    for part, rows in {
        "train": [("u", "c", "a b"), ("v", "a", "b")],
        "valid": [("u", "d", "a b c")],
        "test": [("v", "d", "b a")],
    }.items():
        write_table(tmp_path / "toy" / f"toy.{part}.inter", header, rows)
    config = sequential(
        tmp_path,
        benchmark_filename=["train", "valid", "test"],
        load_col={"inter": ["user_id", "item_id", "item_id_list"]},
        alias_of_item_id=["item_id_list"],
    )
    train, valid, test = GenRecDataset(config).build()
    assert train[:]["item_length"].tolist() == [2, 1]
    assert valid[:]["item_length"].tolist() == [3]
    assert HISTORY_END not in train[:]
    assert train[:]["item_id_list"].shape == (2, 3)


def test_item_tokens_are_raw_tokens_by_internal_id(tmp_path):
    dataset = GenRecDataset(sequential(write_toy(tmp_path)))
    assert dataset.item_tokens[0] == "[PAD]"
    assert all(type(token) is str for token in dataset.item_tokens)
    ids = [dataset.token2id("item_id", token) for token in dataset.item_tokens[1:]]
    assert ids == list(range(1, dataset.item_num))
