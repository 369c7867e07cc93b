"""Semantic IDs in other people's files."""

import json

import pytest
import torch

from recbole_genrec.tokenizer import SemanticIDs, resolve_collisions
from recbole_genrec.tokenizer.formats import read_codes

CODES = torch.tensor([[0, 0], [1, 4], [0, 2], [3, 4]])
TOKENS = ["[PAD]", "B1", "B2", "B3"]


@pytest.mark.parametrize(
    "table",
    [
        {"B1": [1, 4], "B2": [0, 2], "B3": [3, 4]},
        {"B1": ["<a_1>", "<b_4>"], "B2": ["<a_0>", "<b_2>"], "B3": ["<a_3>", "<b_4>"]},
        {"B1": "<a_1><b_4>", "B2": "<a_0><b_2>", "B3": "<a_3><b_4>"},
        {"B3": [3, 4], "not in our data": [2, 0], "B2": [0, 2], "B1": [1, 4]},
    ],
    ids=["codes", "letter", "string", "other order and more items"],
)
def test_every_form_reads_the_same(tmp_path, table: dict) -> None:
    (tmp_path / "ids.json").write_text(json.dumps(table))
    ids = SemanticIDs.from_json(tmp_path / "ids.json", TOKENS)
    assert torch.equal(ids.codes, CODES)
    assert ids.codebook_sizes == [4, 5]
    assert SemanticIDs.from_json(tmp_path / "ids.json", TOKENS, [8, 8]).codebook_sizes == [8, 8]


@pytest.mark.parametrize(
    ("form", "first"), [("codes", [1, 4]), ("letter", ["<a_1>", "<b_4>"])], ids=["codes", "letter"]
)
def test_export(tmp_path, form: str, first: list) -> None:
    SemanticIDs(CODES, [4, 5]).to_json(tmp_path / "ids.json", TOKENS, form)
    written = json.loads((tmp_path / "ids.json").read_text())
    assert list(written) == TOKENS[1:]
    assert written["B1"] == first
    assert torch.equal(SemanticIDs.from_json(tmp_path / "ids.json", TOKENS).codes, CODES)


def test_unknown_form_of_export(tmp_path) -> None:
    with pytest.raises(ValueError, match="unknown form 'csv'.*codes, letter"):
        SemanticIDs(CODES, [4, 5]).to_json(tmp_path / "ids.json", TOKENS, "csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"B1": [1, 4], "B2": [0, 2]}', "no semantic ID for 1 of 3 items: B3"),
        ('{"B1": [1, 4], "B2": [0], "B3": [3, 4]}', "'B2' has 1 codes, expected 2 as the first"),
        (
            '{"B1": [1, 4], "B2": [0, -2], "B3": [3, 4]}',
            "'B2' has code -2 at level 2, expected 0 or",
        ),
        (
            '{"B1": [1, 4], "B2": [0, 2.5], "B3": [3, 4]}',
            "'B2' has 2.5 at level 2, expected an int",
        ),
        ('{"B1": [1, 4], "B2": [0, 9999999999], "B3": [3, 4]}', "'B2' has code 9999999999 at"),
        ('{"B1": [1, 4], "B2": [0, 65536], "B3": [3, 4]}', "has code 65536 at .* 0 to 65535"),
        ('{"B1": [1, 4], "B2": [true, 2], "B3": [3, 4]}', "'B2' has True at level 1, expected an"),
        (
            '{"B1": [1, 4], "B2": [0, "x"], "B3": [3, 4]}',
            "'B2' has 'x' at level 2, expected an int",
        ),
        ('{"B1": ["<b_1>", "<a_4>"]}', "no semantic ID for 2 of 3 items: B2, B3"),
        (
            '{"B1": ["<b_1>", "<a_4>"], "B2": [0, 2], "B3": [3, 4]}',
            "'B1' has '<b_1>' at level 1, expected a token of the form '<a_0>'",
        ),
        ('{"B1": 7, "B2": [0, 2], "B3": [3, 4]}', "'B1' has 7, expected a list of codes"),
        ('{"B1": [], "B2": [0, 2], "B3": [3, 4]}', r"'B1' has \[\], expected a list of codes"),
        ('{"B1": [1, 4], "B2": [0, 2], "B1": [3, 4]}', "item 'B1' occurs more than once"),
        ("[1, 2]", "expected a JSON object"),
        ("{}", "expected a JSON object"),
        ('{"B1": [1,', "not a JSON file"),
        ('{"B1": ' + "[" * 100_000, "not a JSON file"),
        ('{"B1": [' + "9" * 5000 + "]}", "not a JSON file .*4300 digits"),
    ],
)
def test_bad_files_are_named_with_item_and_rule(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "theirs.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"theirs\.json: .*{message}"):
        read_codes(path, TOKENS[1:])


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"theirs\.json: cannot be read .No such file"):
        read_codes(tmp_path / "theirs.json", TOKENS[1:])


def test_declared_sizes_are_checked(tmp_path) -> None:
    path = tmp_path / "theirs.json"
    path.write_text('{"B1": [1, 4], "B2": [0, 2], "B3": [3, 4]}')
    with pytest.raises(ValueError, match="'B1' has code 4 at level 2, expected 0 to 3"):
        read_codes(path, TOKENS[1:], [4, 4])
    with pytest.raises(ValueError, match="'B1' has 2 codes, expected 3 .codebook_sizes"):
        read_codes(path, TOKENS[1:], [4, 4, 4])


def test_many_missing_items_are_counted_and_a_few_named(tmp_path) -> None:
    (tmp_path / "theirs.json").write_text('{"B1": [1, 4]}')
    with pytest.raises(ValueError, match="for 9 of 10 items: B2, B3, B4, B5, B6, ...$"):
        read_codes(tmp_path / "theirs.json", [f"B{i}" for i in range(1, 11)])


def test_colliding_ids_are_read_raw_and_refused_as_semantic_ids(tmp_path) -> None:
    path = tmp_path / "theirs.json"
    path.write_text('{"B1": [1, 4], "B2": [1, 4], "B3": [3, 4]}')
    codes, sizes = read_codes(path, TOKENS[1:])
    assert codes.tolist() == [[1, 4], [1, 4], [3, 4]]
    with pytest.raises(ValueError, match=r"theirs\.json: 1 of 3 items repeat"):
        SemanticIDs.from_json(path, TOKENS)
    assert resolve_collisions(codes, sizes, "append")[1] == [4, 5, 2]


def test_real_letter_ids_collide_and_become_unique(real_data) -> None:
    folder = real_data / "amazon-beauty"
    tokens = (folder / "amazon-beauty.minilm.ids.txt").read_text().split()
    codes, sizes = read_codes(folder / "amazon-beauty.letter.sid.json", tokens)
    assert sizes == [256] * 4
    assert len(codes) - len(codes.unique(dim=0)) == 13
    unique, _ = resolve_collisions(codes, sizes, "reassign")
    assert len(unique.unique(dim=0)) == len(codes)
    assert (unique != codes).sum() == 13
