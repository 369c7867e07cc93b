"""SemanticIDs: tokens, checks, files."""

from typing import BinaryIO

import pytest
import torch

from recbole_genrec.tokenizer import SemanticIDs

CODES = torch.tensor([[0, 0, 0], [1, 0, 4], [0, 2, 0], [1, 2, 4]])
SIZES = [2, 3, 5]


def test_tokens_have_one_range_per_level() -> None:
    ids = SemanticIDs(CODES, SIZES)
    # level 1: tokens 1..2, level 2: 3..5, level 3: 6..10
    assert ids.tokens.tolist() == [[0, 0, 0], [2, 3, 10], [1, 5, 6], [2, 5, 10]]
    assert (ids.vocab_size, ids.num_levels) == (11, 3)


@pytest.mark.parametrize(
    ("codes", "sizes", "message"),
    [
        ([[0, 0], [1, 2], [1, 2]], [2, 3], r"1 of 2 items repeat .*items 1 and 2 have \[1, 2\]"),
        ([[0, 0], [1, 3]], [2, 3], "item 1 has code 3 at level 2, expected 0 to 2"),
        ([[0, 0], [-1, 0]], [2, 3], "item 1 has code -1 at level 1, expected 0 to 1"),
        ([[0, 1], [1, 0]], [2, 3], r"row 0 belongs to the padding item.*got \[0, 1\]"),
        ([[0, 0], [1, 0]], [2, 3, 4], "do not fit 3 codebook sizes"),
        ([[0, 0]], [2, 3], "semantic IDs of no item"),
    ],
)
def test_impossible_ids_are_refused(codes: list, sizes: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SemanticIDs(torch.tensor(codes), sizes)


def test_first_item_may_have_the_zeros_of_the_padding_item() -> None:
    assert SemanticIDs(torch.tensor([[0, 0], [0, 0], [1, 0]]), [2, 3]).tokens[1].tolist() == [1, 3]


def test_save_and_load(tmp_path) -> None:
    SemanticIDs(CODES, SIZES).save(tmp_path / "ids.pt")
    ids = SemanticIDs.load(tmp_path / "ids.pt")
    assert torch.equal(ids.codes, CODES)
    assert ids.codebook_sizes == SIZES


@pytest.mark.parametrize("damage", ["truncated", "foreign", "other content", "colliding"])
def test_a_damaged_file_is_named(tmp_path, damage: str) -> None:
    path = tmp_path / "ids.pt"
    SemanticIDs(CODES, SIZES).save(path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "foreign":
        path.write_text("no tensors here")
    elif damage == "other content":
        torch.save([1, 2, 3], path)
    else:
        torch.save({"codes": CODES[[0, 1, 1]], "codebook_sizes": SIZES}, path)
    with pytest.raises(ValueError, match=r"ids\.pt: not a file of semantic IDs"):
        SemanticIDs.load(path)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "ids.pt"
    SemanticIDs(CODES, SIZES).save(path)

    def full_disk(content: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        SemanticIDs(CODES[:2], SIZES).save(path)
    assert torch.equal(SemanticIDs.load(path).codes, CODES)
    assert [file.name for file in tmp_path.iterdir()] == ["ids.pt"]
