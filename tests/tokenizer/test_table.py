"""The table of semantic IDs: every view of it agrees after any sequence of changes."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs
from recbole_genrec.tokenizer.table import SemanticIDTable

SIZES = [3, 4, 2]
ALL = torch.cartesian_prod(*map(torch.arange, SIZES))  # 24 codes


def ids_of(rows: torch.Tensor) -> SemanticIDs:
    return SemanticIDs(torch.nn.functional.pad(ALL[rows], (0, 0, 1, 0)), SIZES)


def assert_agrees(table: SemanticIDTable, rows: list[int]) -> None:
    """Every view of the table is that of the items with the codes `ALL[rows]`."""
    codes = torch.nn.functional.pad(ALL[rows], (0, 0, 1, 0))
    tokens = codes + torch.tensor([1, 4, 8])
    tokens[0] = 0
    assert torch.equal(table.codes, codes)
    assert torch.equal(table.tokens, tokens)
    assert torch.equal(table.semantic_ids.tokens, tokens)
    assert table.num_items == len(rows) + 1
    assert table.trie.num_items == len(rows)
    order = sorted(range(len(rows)), key=rows.__getitem__)
    assert table.trie.item.tolist() == [item + 1 for item in order]
    assert table.trie_of(torch.tensor([1])).item.tolist() == [1]


@settings(max_examples=60)
@given(st.data())
def test_all_views_agree_after_any_sequence_of_changes(data):
    rows = data.draw(st.permutations(range(24)))[:3]
    table = SemanticIDTable(ids_of(torch.tensor(rows)))
    saved, heard = (copy.deepcopy(table.state_dict()), list(rows)), []
    table.on_change(lambda: heard.append(table.num_items))
    for _ in range(data.draw(st.integers(1, 8))):
        kind = data.draw(st.sampled_from(["replace", "append", "save", "load", "own"]))
        before, calls = list(rows), len(heard)
        if kind == "replace":
            rows = data.draw(st.permutations(range(24)))[: len(rows)]
            table.replace(ids_of(torch.tensor(rows)))
        elif kind == "append" and len(rows) < 22:
            free = sorted(set(range(24)) - set(rows))
            new = data.draw(st.permutations(free))[:2]
            rows = [*rows, *new]
            table.append(ALL[new])
        elif kind == "save":
            saved = copy.deepcopy(table.state_dict()), list(rows)
        elif kind == "load":  # perhaps of more or of fewer items
            table.load_state_dict(saved[0])
            rows = list(saved[1])
        elif kind == "own":
            table.load_state_dict(table.state_dict())
        assert_agrees(table, rows)
        if rows != before:
            assert heard[calls:] == [len(rows) + 1]


def test_what_is_no_set_of_unique_ids_is_refused_and_changes_nothing():
    table = SemanticIDTable(ids_of(torch.tensor([0, 5, 7])))
    with pytest.raises(InputError, match="repeat the semantic ID of another one"):
        table.append(ALL[[5]])
    with pytest.raises(InputError, match=r"item 4 has code 2 at level 3, expected 0 to 1"):
        table.append(torch.tensor([[0, 0, 2]]))
    with pytest.raises(InputError, match=r"of 4 rows with codebook sizes \[3, 4, 2\], found 3 "):
        table.replace(ids_of(torch.tensor([1, 2])))
    assert_agrees(table, [0, 5, 7])
    tokens = table.tokens.clone()
    tokens[2, 1] = 1  # one of the first level
    other = SemanticIDTable(ids_of(torch.tensor([0, 5, 7])))
    with pytest.raises(InputError, match="item 2 has code -3 at level 2, expected 0 to 3"):
        other.load_state_dict({"tokens": tokens})


def test_the_given_ids_are_not_written_to():
    ids = ids_of(torch.tensor([0, 5, 7]))
    before = ids.tokens.clone()
    table = SemanticIDTable(ids)
    table.load_state_dict(SemanticIDTable(ids_of(torch.tensor([9, 8, 1]))).state_dict())
    assert torch.equal(ids.tokens, before)
    assert_agrees(table, [9, 8, 1])


def test_a_changed_restriction_is_searched_anew():
    table = SemanticIDTable(ids_of(torch.tensor([0, 5, 7])))
    allowed = torch.tensor([2, 3])
    assert table.trie_of(allowed) is table.trie_of(allowed)
    table.replace(ids_of(torch.tensor([7, 5, 0])))
    assert table.trie_of(allowed).item.tolist() == [3, 2]
    assert table.trie_of(None) is table.trie


def test_ids_may_be_shared_where_items_are_told_apart_otherwise():
    codes = torch.tensor([[0, 0, 0], [1, 2, 1], [1, 2, 1]])
    table = SemanticIDTable(SemanticIDs(codes, SIZES, unique=False))
    table.append(torch.tensor([[1, 2, 1], [2, 3, 0]]))
    assert table.codes[1:].tolist() == [[1, 2, 1]] * 3 + [[2, 3, 0]]
    fresh = SemanticIDTable(SemanticIDs(codes, SIZES, unique=False))
    fresh.load_state_dict(table.state_dict())
    assert torch.equal(fresh.codes, table.codes)
    assert not fresh.semantic_ids.unique
