"""Prefixes: their numbers against tuples of Python, their figures by hand."""

import math

import pytest
import torch

from recbole_genrec.tokenizer.prefixes import (
    collision_rate,
    dispersion,
    entropies,
    find_nodes,
    group_rows,
    prefix_groups,
    prefix_nodes,
    rank_in_group,
    usage_entropy,
)

# 6 items: prefix 0 holds four, prefix 1 two; items 0 and 1 share everything
CODES = torch.tensor([[0, 0], [0, 0], [0, 1], [0, 2], [1, 0], [1, 3]])


def random_codes() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(5, (60, 3), generator=generator)


def test_groups_and_ranks_by_hand() -> None:
    assert prefix_groups(CODES).T.tolist() == [[0] * 6, [0, 0, 0, 0, 1, 1], [0, 0, 1, 2, 3, 4]]
    assert group_rows(CODES).tolist() == [0, 0, 1, 2, 3, 4]
    assert group_rows(CODES[:, :0]).tolist() == [0] * 6
    assert rank_in_group(torch.tensor([1, 0, 1, 1, 0, 2])).tolist() == [0, 0, 1, 2, 1, 0]


def test_groups_are_numbered_in_the_order_of_the_prefixes() -> None:
    codes = random_codes()
    for k, group in enumerate(prefix_groups(codes).unbind(1)):
        prefixes = [tuple(row[:k]) for row in codes.tolist()]
        place = {prefix: place for place, prefix in enumerate(sorted(set(prefixes)))}
        assert group.tolist() == [place[prefix] for prefix in prefixes]


def test_nodes_count_all_prefixes_from_the_empty_one_on_and_are_found_again() -> None:
    tokens = random_codes() + torch.tensor([1, 6, 11])
    keys, nodes = prefix_nodes(tokens, vocab_size=16)
    prefixes = sorted({tuple(row[:k]) for row in tokens.tolist() for k in range(4)}, key=_by_length)
    for row, of_item in zip(tokens.tolist(), nodes.tolist(), strict=True):
        assert of_item == [prefixes.index(tuple(row[:k])) for k in range(4)]
    parents = [prefixes.index(prefix[:-1]) for prefix in prefixes[1:]]
    assert keys.tolist() == [
        parent * 16 + prefix[-1] for parent, prefix in zip(parents, prefixes[1:], strict=True)
    ]
    assert torch.equal(find_nodes(keys, tokens, 16), nodes[:, 1:])


def _by_length(prefix: tuple) -> tuple:
    return len(prefix), prefix


def test_collision_rate() -> None:
    assert collision_rate(CODES) == 1 - 5 / 6
    assert collision_rate(CODES[2:]) == 0


def test_entropies_by_hand() -> None:
    """Popularity 4 : 2 : 2 : 0; the first code tells {0, 1} from {2, 3}, the second the item."""
    codes = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    _, nodes = prefix_nodes(codes, 2)
    h = entropies(nodes, torch.tensor([4, 2, 2, 0]))
    pair = math.log(3) - math.log(2) * 2 / 3  # of 2/3 and 1/3
    expected = [1.5 * math.log(2), pair, 0, 0, 0, 0, 0]  # 1/2 1/4 1/4, then what one item leaves
    torch.testing.assert_close(h, torch.tensor(expected, dtype=torch.float64))


def test_usage_entropy() -> None:
    assert usage_entropy(torch.tensor([0, 5, 2, 7])) == pytest.approx(math.log(4))
    assert usage_entropy(torch.tensor([3, 3, 3])) == 0


def test_dispersion_by_hand() -> None:
    codes = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    embeddings = torch.tensor([[0.0], [2.0], [10.0], [12.0]])
    # all items: centroid 6, distances 6, 4, 4, 6; by first code: centroids 1 and 11, distances 1
    groups = prefix_groups(codes)
    assert dispersion(groups, embeddings).tolist() == [26, 1, 0]
    assert dispersion(groups, embeddings, squared=False).tolist() == [5, 1, 0]
    assert dispersion(groups, embeddings.numpy()).tolist() == [26, 1, 0]
