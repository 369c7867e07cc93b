"""Files that are split already (`benchmark_filename`), with histories or with plain rows."""

import random

import pytest
import torch

from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.errors import InputError
from tests.small import toy_config, write_table, write_toy

PARTS = ["train", "valid", "test"]
PLAIN = ["user_id:token", "item_id:token", "timestamp:float"]


def config(data_path, model="SASRec", **settings):
    columns = {"inter": "*"}
    return toy_config(model, data_path, benchmark_filename=PARTS, load_col=columns, **settings)


def write_parts(folder, header, *parts):
    for name, rows in zip(PARTS, parts, strict=True):
        write_table(folder / "toy" / f"toy.{name}.inter", header, rows)


def split_by_leaving_out(data_path, key=lambda rows: rows):
    """Write the parts that leaving out the last two of each user gives."""
    lines = (data_path / "toy" / "toy.inter").read_text().splitlines()[1:]
    users = {}
    for user, item, _, time in (line.split("\t") for line in lines):
        users.setdefault(user, []).append((user, item, int(time)))
    for rows in users.values():
        rows.sort(key=lambda row: row[2])
    cuts = (slice(None, -2), slice(-2, -1), slice(-1, None))
    write_parts(data_path, PLAIN, *([r for u in users.values() for r in u[cut]] for cut in cuts))


def samples(part):
    """User, history and target of each sample, as tokens."""
    batch = part[range(len(part))]
    tokens = [
        part.id2token("user_id", batch["user_id"]),
        part.id2token("item_id", batch["item_id"]),
    ]
    histories = [
        tuple(part.item_tokens[item] for item in row[:length])
        for row, length in zip(batch["item_id_list"], batch["item_length"], strict=True)
    ]
    return sorted(zip(*tokens, histories, strict=True))


@pytest.mark.parametrize("model", ["SASRec", "TIGER"])
@pytest.mark.parametrize("settings", [{}, {"history_attention": "causal"}], ids=str)
def test_plain_rows_give_the_samples_of_the_same_split_by_settings(tmp_path, model, settings):
    data_path = write_toy(tmp_path)
    split_by_leaving_out(data_path)
    expected = create_dataset(toy_config(model, data_path, **settings)).build()
    found = create_dataset(config(data_path, model, **settings)).build()
    for one, other in zip(found, expected, strict=True):
        assert samples(one) == samples(other)


def test_a_general_model_takes_plain_rows_as_they_are(tmp_path):
    write_parts(tmp_path, PLAIN, [("u", "a", 5)], [("u", "b", 1)], [("u", "c", 2), ("v", "a", 1)])
    parts = create_dataset(config(tmp_path, "BPR")).build()
    assert [len(part) for part in parts] == [1, 1, 2]


def test_parts_out_of_order_are_refused_for_sequences(tmp_path):
    rows = [("u", "a", 1), ("u", "b", 9)], [("v", "a", 1), ("u", "c", 2)], [("u", "d", 10)]
    write_parts(tmp_path, PLAIN, *rows)
    message = r"train\.inter, line 3: this interaction is later .*toy\.valid\.inter, line 3"
    with pytest.raises(InputError, match=message):
        create_dataset(config(tmp_path))


def test_an_interaction_in_two_parts_is_refused_for_sequences(tmp_path):
    rows = [("u", "a", 1), ("u", "b", 2), ("v", "a", 2)], [("v", "b", 3)], [("u", "b", 2)]
    write_parts(tmp_path, PLAIN, *rows)
    message = r"test\.inter, line 2: this interaction also stands in .*toy\.train\.inter, line 3"
    with pytest.raises(InputError, match=message):
        create_dataset(config(tmp_path))


@pytest.mark.parametrize("columns", [2, 3])
def test_an_interaction_in_two_parts_is_refused_for_general_models(tmp_path, columns):
    rows = [("u", "a", 1), ("u", "b", 2)], [("v", "a", 3)], [("v", "b", 4), ("u", "b", 2)]
    write_parts(tmp_path, PLAIN[:columns], *([row[:columns] for row in part] for part in rows))
    message = r"test\.inter, line 3: this interaction also stands in .*toy\.train\.inter, line 3"
    with pytest.raises(InputError, match=message):
        create_dataset(config(tmp_path, "BPR"))


def test_what_a_user_comes_back_to_is_no_interaction_in_two_parts(tmp_path):
    rows = [("u", "a"), ("u", "b")], [("v", "a")], [("u", "b")]
    write_parts(tmp_path, PLAIN[:2], *rows)
    assert create_dataset(config(tmp_path, "BPR", repeatable=True)).inter_num == 4
    clicks = [(*row, place % 2) for place, part in enumerate(rows) for row in part]
    write_parts(tmp_path, [*PLAIN[:2], "label:float"], clicks[:2], clicks[2:3], clicks[3:])
    labeled = {"eval_args": {"mode": "labeled"}, "metrics": ["AUC"], "valid_metric": "AUC"}
    assert create_dataset(config(tmp_path, "FM", **labeled)).inter_num == 4
    times = [[(*row, place) for row in part] for place, part in enumerate(rows)]
    write_parts(tmp_path, PLAIN, *times)
    assert create_dataset(config(tmp_path, "BPR")).inter_num == 4


def test_first_interactions_in_a_later_part_are_said_to_be_left_out(tmp_path, caplog):
    rows = [("u", "a", 1), ("u", "b", 2)], [("v", "a", 3)], [("v", "b", 4), ("w", "b", 4)]
    write_parts(tmp_path, PLAIN, *rows)
    parts = create_dataset(config(tmp_path)).build()
    assert [len(part) for part in parts] == [1, 0, 1]
    for name, user in (("valid", "v"), ("test", "w")):
        assert f"toy.{name}.inter: the first interactions of 1 of its users" in caplog.text
        assert f"the parts before: {user}\n" in caplog.text
    assert "toy.train.inter: " not in caplog.text


def test_histories_are_sequences_with_something_in_them(tmp_path):
    header = ["user_id:token", "item_id_list:token_seq", "item_id:token"]
    rows = [("u", "a b", "c")]
    write_parts(tmp_path, header, rows, rows, [("u", "a", "b"), ("v", "", "a")])
    message = r"toy\.test\.inter, line 3: .*item_id_list\] is empty"
    with pytest.raises(InputError, match=message):
        create_dataset(config(tmp_path))
    header[1] = "item_id_list:token"
    write_parts(tmp_path, header, rows, rows, rows)
    with pytest.raises(InputError, match=r"item_id_list:token_seq, found \[item_id_list:token\]"):
        create_dataset(config(tmp_path))


def test_without_histories_and_times_both_are_named(tmp_path):
    rows = [("u", "a")]
    write_parts(tmp_path, PLAIN[:2], rows, rows, rows)
    with pytest.raises(InputError, match=r"need histories \[item_id_list\] or times \[timestamp\]"):
        create_dataset(config(tmp_path))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("u", None, 3), r"toy\.valid\.inter, line 3: column \[item_id\] is empty"),
        ((None, "a", 3), r"toy\.valid\.inter, line 3: column \[user_id\] is empty"),
        (("u", "a", None), r"missing in 1 rows, first in .*toy\.valid\.inter, line 3"),
    ],
)
def test_a_row_that_lacks_something_is_named(tmp_path, row, message):
    write_parts(tmp_path, PLAIN, [("u", "a", 1)], [("u", "b", 2), row], [("u", "c", 4)])
    with pytest.raises(InputError, match=message):
        create_dataset(config(tmp_path))


def test_filters_that_do_nothing_are_said(tmp_path, caplog):
    write_parts(tmp_path, PLAIN, [("u", "a", 1)], [("u", "b", 2)], [("u", "c", 4)])
    create_dataset(config(tmp_path, user_inter_num_interval="[2,inf)"))
    assert "user_inter_num_interval has no effect" in caplog.text


@pytest.mark.parametrize("alias", [None, ["item_id_list"]])
def test_a_column_and_its_histories_share_their_ids(tmp_path, alias):
    header = ["user_id:token", "item_id_list:token_seq", "item_id:token", "brand_list:token_seq"]
    rows = [("u", "a b", "c", "x y", "z"), ("u", "a b c", "d", "x y z", "x")]
    write_parts(tmp_path, [*header, "brand:token"], rows, rows[:1], rows[1:])
    dataset = create_dataset(config(tmp_path, alias_of_item_id=alias))
    for field in ("item_id", "brand"):
        assert dataset.field2token_id[field] == dataset.field2token_id[f"{field}_list"]
    train = dataset.build()[0]
    assert samples(train) == [("u", "c", ("a", "b")), ("u", "d", ("a", "b", "c"))]
    assert dataset.item_num == 5 and dataset.num("brand") == 4


HISTORIES = ["user_id:token", "item_id_list:token_seq", "item_id:token"]


def write_histories(data_path, longest=100, shuffled=False):
    """Write the split of the toy data with a line for every prefix, as RecBole has it."""
    split = create_dataset(toy_config("SASRec", data_path, MAX_ITEM_LIST_LENGTH=100)).build()
    parts = [sorted(samples(part), key=lambda sample: len(sample[2])) for part in split]
    if shuffled:
        random.Random(0).shuffle(parts[0])
    lines = ([(user, " ".join(h[-longest:]), item) for user, item, h in part] for part in parts)
    write_parts(data_path, HISTORIES, *lines)


@pytest.mark.parametrize("length", [2, 100])
def test_a_history_that_comes_with_the_files_is_read_from_its_end(tmp_path, length):
    data_path = write_toy(tmp_path)
    settings = {"MAX_ITEM_LIST_LENGTH": length}
    expected = create_dataset(toy_config("SASRec", data_path, **settings)).build()
    write_histories(data_path)
    found = create_dataset(config(data_path, **settings)).build()
    for one, other in zip(found, expected, strict=True):
        assert samples(one) == samples(other)
        cases = torch.arange(len(one))  # what is masked is more than what is read
        assert len(one.histories().pairs(cases)[0]) == len(other.histories().pairs(cases)[0])


@pytest.mark.parametrize("model", ["SASRecOnePass", "TIGER"])
@pytest.mark.parametrize(("length", "shuffled"), [(3, False), (3, True), (100, True)])
def test_one_pass_trains_each_target_of_given_histories_once(tmp_path, model, length, shuffled):
    data_path = write_toy(tmp_path)
    settings = {"MAX_ITEM_LIST_LENGTH": length, "history_attention": "causal"}
    expected = create_dataset(toy_config(model, data_path, **settings)).build()[0]
    write_histories(data_path, shuffled=shuffled)
    found = create_dataset(config(data_path, model, **settings)).build()[0]
    assert samples(found) == samples(expected)
    targets, counts = found.target_counts, expected.target_counts
    tokens = zip(found.item_tokens, targets.tolist(), strict=True)
    assert dict(tokens) == dict(zip(expected.item_tokens, counts.tolist(), strict=True))


def test_one_pass_follows_histories_that_the_files_cut(tmp_path):
    data_path = write_toy(tmp_path)
    settings = {"MAX_ITEM_LIST_LENGTH": 3}
    expected = create_dataset(toy_config("SASRecOnePass", data_path, **settings)).build()[0]
    write_histories(data_path, longest=3)
    for maximum in (3, 50):
        settings = {"MAX_ITEM_LIST_LENGTH": maximum}
        found = create_dataset(config(data_path, "SASRecOnePass", **settings)).build()[0]
        assert samples(found) == samples(expected)


def test_one_pass_refuses_histories_with_targets_of_no_line(tmp_path):
    rows = [("u", "a", "b"), ("u", "a b", "c"), ("v", "a b", "c")]
    write_parts(tmp_path, HISTORIES, rows, rows[:1], rows[:1])
    message = r"toy\.train\.inter, line 4: SASRecOnePass trains .* found 1 .* first of 2 items"
    with pytest.raises(InputError, match=message):
        create_dataset(config(tmp_path, "SASRecOnePass")).build()
    create_dataset(config(tmp_path, "SASRec")).build()
