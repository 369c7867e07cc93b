"""Collision handling: unique whatever the input, and little is changed."""

from itertools import permutations
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recbole_genrec.tokenizer import resolve_collisions
from recbole_genrec.tokenizer.collision import STRATEGIES


def no_preference(size: int):
    return lambda rows, codes: torch.zeros(len(rows), size)


@st.composite
def crowds(draw) -> tuple[Tensor, list[int]]:
    """Codes of 1 to 4 levels, often so crowded that prefixes overflow; up to every ID taken."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    n = draw(st.integers(1, prod(sizes)))
    # codes below `few` only: the lower, the more items share everything
    few = draw(st.integers(1, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    columns = [torch.randint(min(few, size), (n,), generator=generator) for size in sizes]
    return torch.stack(columns, 1), sizes


@settings(max_examples=150)
@given(crowds(), st.sampled_from(STRATEGIES), st.integers(0, 5))
def test_always_unique_in_range_and_reproducible(crowd, strategy: str, seed: int) -> None:
    codes, sizes = crowd
    before = codes.clone()
    distances = no_preference(sizes[-1])
    unique, new_sizes = resolve_collisions(codes, sizes, strategy, seed, distances=distances)
    assert torch.equal(codes, before)  # the input is left alone
    assert len(unique.unique(dim=0)) == len(codes)
    assert (unique >= 0).all()
    assert (unique < torch.tensor(new_sizes)).all()
    again, _ = resolve_collisions(codes, sizes, strategy, seed, distances=distances)
    assert torch.equal(unique, again)
    if strategy == "append":
        assert torch.equal(unique[:, :-1], codes)
        assert new_sizes[:-1] == sizes
    else:
        assert new_sizes == sizes
    if strategy == "reassign":
        _, group = codes.unique(dim=0, return_inverse=True)
        first = torch.stack([(group == g).nonzero()[0, 0] for g in group.unique()])
        assert torch.equal(unique[first], codes[first])  # only repeats move


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_identical_items_spread_over_the_levels(strategy: str) -> None:
    codes = torch.zeros(1000, 3, dtype=torch.long)
    unique, sizes = resolve_collisions(codes, [10, 10, 10], strategy, distances=no_preference(10))
    assert len(unique.unique(dim=0)) == 1000
    assert sizes == ([10, 10, 10, 1000] if strategy == "append" else [10, 10, 10])


def test_append_numbers_the_items_of_an_id_in_their_order() -> None:
    codes = torch.tensor([[1, 2], [0, 0], [1, 2], [1, 1], [1, 2]])
    unique, sizes = resolve_collisions(codes, [2, 3], "append")
    assert unique.tolist() == [[1, 2, 0], [0, 0, 0], [1, 2, 1], [1, 1, 0], [1, 2, 2]]
    assert sizes == [2, 3, 3]


def test_append_with_a_given_size_keeps_it_and_moves_the_surplus(caplog) -> None:
    codes = torch.tensor([[1, 2]] * 5 + [[0, 0]])
    unique, sizes = resolve_collisions(codes, [2, 3], "append", append_size=2)
    assert sizes == [2, 3, 2]
    assert len(unique.unique(dim=0)) == 6
    assert unique[:2].tolist() == [[1, 2, 0], [1, 2, 1]]
    assert (unique[:5, 0] == 1).all()  # level 2 has room, so level 1 stays
    assert "append_size [2] is too small for the 5 items that share their codes: 3 of 6 items" in (
        caplog.text
    )
    caplog.clear()
    assert resolve_collisions(codes, [2, 3], "append", append_size=9)[1] == [2, 3, 9]
    assert caplog.text == ""


def test_reassign_changes_the_last_code_of_repeats_only() -> None:
    codes = torch.tensor([[0, 1], [0, 1], [0, 3], [1, 1], [0, 1]])
    seen = set()
    for seed in range(40):
        unique, _ = resolve_collisions(codes, [2, 5], "reassign", seed)
        assert unique[[0, 2, 3]].tolist() == codes[[0, 2, 3]].tolist()
        assert (unique[[1, 4], 0] == 0).all()
        seen.add(tuple(unique[[1, 4], 1].tolist()))
    assert seen == set(permutations([0, 2, 4], 2))  # every choice among the unused codes occurs


def test_reassign_goes_up_a_level_where_the_last_is_full() -> None:
    codes = torch.tensor([[0, 0], [0, 1], [0, 0], [1, 0]])
    unique, _ = resolve_collisions(codes, [2, 2], "reassign")
    assert unique[[0, 1, 3]].tolist() == codes[[0, 1, 3]].tolist()
    assert unique[2].tolist() == [1, 1]  # the only ID left


def test_sinkhorn_takes_near_codes_and_leaves_the_others_alone() -> None:
    # items 0, 1, 2 share an ID; item 3 has the prefix too, and holds code 0
    codes = torch.tensor([[0, 3], [0, 3], [0, 3], [0, 0], [1, 3]])
    cost = torch.tensor(
        [[0.0, 5.0, 9.0, 1.0, 9.0], [9.0, 1.0, 9.0, 1.2, 9.0], [9.0, 9.0, 2.0, 1.1, 9.0]]
    )
    unique, _ = resolve_collisions(
        codes, [2, 5], "sinkhorn", distances=lambda rows, codes: cost[rows]
    )
    # 0 would prefer the code that item 3 holds
    assert unique.tolist() == [[0, 3], [0, 1], [0, 2], [0, 0], [1, 3]]


def test_sinkhorn_finds_the_cheapest_assignment() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        cost = torch.rand(4, 5, generator=generator)
        codes = torch.zeros(4, 1, dtype=torch.long)
        unique, _ = resolve_collisions(
            codes, [5], "sinkhorn", distances=lambda rows, codes, cost=cost: cost[rows]
        )
        every = [cost[range(4), list(chosen)].sum() for chosen in permutations(range(5), 4)]
        assert cost[range(4), unique[:, 0]].sum() == min(every)


@pytest.mark.parametrize(
    ("codes", "sizes", "strategy", "message"),
    [
        (
            [[0]],
            [2],
            "rename",
            r"collision should be one of append, reassign, sinkhorn, found \[rename",
        ),
        ([[0]], [2], "sinkhorn", "sinkhorn needs the codewords"),
        ([[2]], [2], "append", r"codes outside of the codebook sizes \[2\]"),
        ([[0, 0]], [2], "append", r"codes of shape \[1, 2\] for 1 codebook sizes"),
        ([[0, 0]] * 5, [2, 2], "reassign", r"5 items cannot have unique .* \[2, 2\] allow 4"),
    ],
)
def test_impossible_requests(codes: list, sizes: list, strategy: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_collisions(torch.tensor(codes), sizes, strategy)


def test_impossible_append_size() -> None:
    with pytest.raises(ValueError, match="append_size must be at least 1, got 0"):
        resolve_collisions(torch.tensor([[0]]), [2], "append", append_size=0)


def test_more_possible_ids_than_64_bits_count():
    """32 levels of 256 codes: RPG's."""
    codes = torch.randint(0, 256, (50, 32))
    codes[10:13] = codes[3]
    unique, sizes = resolve_collisions(codes, [256] * 32, "reassign")
    assert sizes == [256] * 32
    assert torch.equal(unique[:, :31], codes[:, :31])
    assert len(unique.unique(dim=0)) == 50
