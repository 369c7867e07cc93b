"""The softmax over existing codes against loops over the items, and the sum of all items: 1."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_genrec.decoding.beam_search import beam_search
from recbole_genrec.decoding.existing_codes import ExistingCodes, of_existing_codes
from recbole_genrec.decoding.trie import ItemTrie
from tests.decoding.oracle import PrefixModel, catalogues


@given(catalogues(), st.integers(0, 99))
def test_logits_that_stay_are_those_of_tokens_of_items_with_the_same_prefix(tokens, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = tokens[torch.randint(1, len(tokens), (5,), generator=generator)]
    vocab = int(tokens.max()) + 1
    logits = torch.randn(*labels.shape, vocab, generator=generator)
    masked = of_existing_codes(logits, labels, ItemTrie(tokens))
    rows = [tuple(row) for row in tokens[1:].tolist()]
    for target, row in enumerate(labels.tolist()):
        for level in range(len(row)):
            known = {item[level] for item in rows if item[:level] == tuple(row[:level])}
            kept = masked[target, level].isfinite().nonzero().flatten().tolist()
            assert set(kept) == known
            assert torch.equal(masked[target, level, kept], logits[target, level, kept])


@given(catalogues(), st.integers(0, 99))
def test_items_share_all_of_the_probability_whichever_are_searched(tokens, seed):
    model = PrefixModel(3, int(tokens.max()) + 1, seed)
    trie = ItemTrie(tokens)

    def search(trie_of_some):
        step = ExistingCodes(model.step(), trie)
        return beam_search(step, trie_of_some, len(tokens) - 1, 3)

    items, scores = search(trie)
    assert items.sort().values.tolist() == [list(range(1, len(tokens)))] * 3
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3))
    some = torch.arange(1, len(tokens), 2)
    found, found_scores = search(trie.restrict(some))
    for user in range(3):
        among_all = dict(zip(items[user].tolist(), scores[user].tolist(), strict=True))
        expected = {item: among_all[item] for item in some.tolist()}
        pairs = zip(found[user].tolist(), found_scores[user].tolist(), strict=True)
        assert {item: score for item, score in pairs if item} == expected
