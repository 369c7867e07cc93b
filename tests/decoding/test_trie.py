import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_genrec.decoding.trie import ItemTrie
from tests.decoding.oracle import catalogues, random_tokens


def paths(trie: ItemTrie) -> dict[int, tuple[int, ...]]:
    """Item -> tokens, found by walking every node of the trie."""
    found = {}

    def walk(level: int, node: int, prefix: tuple[int, ...]) -> None:
        if level == trie.num_levels:
            found[int(trie.item[node])] = prefix
            return
        edges, exists = trie.children(level, torch.tensor(node))
        for edge in edges[exists].tolist():
            walk(level + 1, edge, (*prefix, int(trie.token[level][edge])))

    walk(0, 0, ())
    return found


def rows(tokens: torch.Tensor, items) -> dict[int, tuple[int, ...]]:
    return {item: tuple(tokens[item].tolist()) for item in items}


@given(catalogues())
def test_walking_the_trie_finds_every_item_under_its_own_tokens(tokens):
    trie = ItemTrie(tokens)
    assert paths(trie) == rows(tokens, range(1, len(tokens)))
    assert trie.num_items == len(tokens) - 1
    children = [{} for _ in range(trie.num_levels)]  # prefix -> its different next tokens
    for row in tokens[1:].tolist():
        for level, token in enumerate(row):
            children[level].setdefault(tuple(row[:level]), set()).add(token)
    assert trie.kmax == [max(map(len, level.values())) for level in children]


@given(catalogues(), st.data())
def test_a_restricted_trie_is_the_trie_of_the_subset(tokens, data):
    items = data.draw(st.sets(st.integers(1, len(tokens) - 1), min_size=1))
    subset = ItemTrie(tokens).restrict(torch.tensor(list(items)))
    assert paths(subset) == rows(tokens, items)
    alone = ItemTrie(torch.cat([tokens[:1], tokens[sorted(items)]]))
    assert subset.kmax == alone.kmax
    for mine, theirs in zip(subset.ptr + subset.token, alone.ptr + alone.token, strict=True):
        assert torch.equal(mine, theirs)


def test_tokens_that_do_not_fit_one_sort_key_are_ordered_all_the_same():
    big = 2**31 - 1  # two such tokens fill a key of 63 bits
    tokens = torch.tensor([[0] * 5, [1, 1, 1, 1, big], [1, 1, 1, 1, 2], [0, big, 1, 1, 1]])
    trie = ItemTrie(tokens)
    assert trie.item.tolist() == [3, 2, 1]
    assert trie.token[1].dtype == torch.int32


@pytest.mark.parametrize("items", [100_000, 300_000])
def test_an_item_takes_at_most_16_bytes(items):
    codes = torch.randperm(256**3)[:items]
    codes = torch.stack([codes // 256**2, codes // 256 % 256, codes % 256, codes * 0], 1)
    tokens = torch.cat([torch.zeros(1, 4, dtype=torch.long), codes + torch.arange(4) * 256 + 1])
    assert ItemTrie(tokens).nbytes <= 16 * items


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([[0, 0], [1, 3], [2, 3], [1, 3]], r"items 1 and 3, which both have \[1, 3\]"),
        ([[0, 0], [1, -2]], "must not be negative, got -2"),
        ([[0, 0]], r"at least one item, got \[1, 2\]"),
        ([0, 1], r"got \[2\]"),
    ],
)
def test_wrong_tokens_give_one_clear_error(tokens, message):
    with pytest.raises(ValueError, match=message):
        ItemTrie(torch.tensor(tokens))


@pytest.mark.parametrize("items", [[], [0], [1, 99]])
def test_a_subset_of_unknown_items_is_an_error(items):
    trie = ItemTrie(random_tokens(10, [3, 4], seed=0))
    with pytest.raises(ValueError, match="non-empty subset of the 10 items"):
        trie.restrict(torch.tensor(items, dtype=torch.long))
