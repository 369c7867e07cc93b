"""Soft token embeddings and the rule by which hard identifiers follow the tokenizer."""

import torch

from recbole_genrec.model.soft_identifiers import (
    change_rate,
    fill_dedicated,
    follow_codes,
    soft_token_embeddings,
)
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs


def padded(codes) -> torch.Tensor:
    return torch.nn.functional.pad(torch.as_tensor(codes), (0, 0, 1, 0))


def test_soft_token_embeddings_equal_the_scattered_product_of_eq_15():
    sizes, extra, d = [3, 5], 4, 6
    embedding = torch.randn(1 + sum(sizes) + extra, d)
    probabilities = [torch.rand(7, size).softmax(1) for size in sizes]
    soft = soft_token_embeddings(probabilities, embedding)
    for item in range(7):
        first_token = 1
        for level, size in enumerate(sizes):
            scattered = torch.zeros(len(embedding))
            for code in range(size):
                scattered[first_token + code] = probabilities[level][item, code]
            torch.testing.assert_close(soft[item, level], scattered @ embedding)
            first_token += size


def test_items_keep_their_dedicated_token_while_their_codes_stay():
    before = SemanticIDs(padded([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]), [2, 4])
    # item 2 leaves the codes that it shared with 1 and 3, item 4 takes its place
    after = follow_codes(torch.tensor([[0], [1], [0], [0], [1]]), before)
    assert after.codes[1:].tolist() == [[0, 0], [1, 0], [0, 2], [0, 1], [1, 1]]


def test_nothing_changes_with_unchanged_codes():
    codes = torch.randint(0, 3, (50, 2))
    before = SemanticIDs(padded([[*row, n] for n, row in enumerate(codes.tolist())]), [3, 3, 50])
    after = follow_codes(codes, before)
    assert torch.equal(after.codes, before.codes)


def test_following_equals_a_loop_over_the_items():
    generator = torch.Generator().manual_seed(1)
    n, sizes = 300, [4, 5, 60]
    before = None
    for _ in range(5):
        codes = torch.stack([torch.randint(0, k, (n,), generator=generator) for k in sizes[:2]], 1)
        if before is None:
            before = follow_codes(codes, SemanticIDs(padded(unique(n)), [4, 5, 60]))
            continue
        moved = torch.rand(n, generator=generator) < 0.1
        codes = torch.where(moved.unsqueeze(1), codes, before.codes[1:, :2])
        after = follow_codes(codes, before)
        assert after.codes[1:].tolist() == looped(codes.tolist(), before.codes[1:].tolist())
        before = after


def unique(n: int) -> list[list[int]]:
    return [[row % 4, row // 4 % 5, row // 20] for row in range(n)]


def looped(codes: list[list[int]], before: list[list[int]]) -> list[list[int]]:
    taken: dict[tuple, set] = {}
    for row, old in zip(codes, before, strict=True):
        if row == old[:-1]:
            taken.setdefault(tuple(row), set()).add(old[-1])
    result = []
    for row, old in zip(codes, before, strict=True):
        dedicated = old[-1]
        if row != old[:-1]:
            used = taken.setdefault(tuple(row), set())
            dedicated = next(code for code in range(1000) if code not in used)
            used.add(dedicated)
        result.append([*row, dedicated])
    return result


def test_a_surplus_over_the_dedicated_tokens_moves_to_other_codes():
    before = SemanticIDs(padded([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0]]), [3, 2])
    after = follow_codes(torch.zeros(5, 1, dtype=torch.long), before)
    assert (after.codes[1:, 0] == 0).sum() == 2
    again = follow_codes(torch.zeros(5, 1, dtype=torch.long), before)
    assert torch.equal(after.codes, again.codes)


def test_fill_dedicated_takes_the_lowest_free_tokens_in_order():
    group = torch.tensor([0, 1, 0, 0, 1, 0])
    dedicated = torch.tensor([-1, -1, 2, 0, 1, -1])
    assert fill_dedicated(group, dedicated, 5).tolist() == [1, 0, 2, 0, 1, 3]


def test_rates_of_hand_worked_codes():
    before = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 1]])
    after = torch.tensor([[0, 1], [0, 0], [1, 0], [0, 0]])
    assert change_rate(before, after) == [0.25, 0.5]
