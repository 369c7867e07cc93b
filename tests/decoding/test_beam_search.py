import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_genrec.decoding.beam_search import beam_search
from recbole_genrec.decoding.trie import ItemTrie
from tests.decoding.oracle import PrefixModel, catalogues, random_tokens, slow_beam_search

beam_sizes = st.integers(1, 70)
seeds = st.integers(0, 99)


def search(model: PrefixModel, tokens: torch.Tensor, beam_size: int):
    trie = ItemTrie(tokens)
    ids, scores = beam_search(model.step(), trie, beam_size, model.num_users)
    assert ids.shape == scores.shape == (model.num_users, beam_size)
    return ids, scores


@given(catalogues(), st.integers(1, 4), seeds)
def test_a_beam_as_wide_as_the_catalogue_scores_every_item(tokens, users, seed):
    model = PrefixModel(users, int(tokens.max()) + 3, seed)
    n = len(tokens) - 1
    ids, scores = search(model, tokens, n)
    for user in range(users):
        exact = torch.tensor([model.score(user, row) for row in tokens[1:]])
        assert sorted(ids[user].tolist()) == list(range(1, n + 1))
        torch.testing.assert_close(scores[user], exact.sort(descending=True).values)
        torch.testing.assert_close(scores[user], exact[ids[user] - 1])


@given(catalogues(), st.integers(1, 3), beam_sizes, seeds, st.sampled_from([0, 1, 2]))
def test_equals_a_beam_search_written_plainly(tokens, users, beam_size, seed, values):
    """values > 0: logits with so many different values, so that scores tie all the time."""
    model = PrefixModel(users, int(tokens.max()) + 1, seed, levels=values)
    ids, scores = search(model, tokens, beam_size)
    for user in range(users):
        expected = slow_beam_search(
            lambda prefix, user=user: model.score(user, torch.tensor(prefix)), tokens, beam_size
        )
        found = len(expected)
        assert ids[user, :found].tolist() == [item for item, _ in expected]
        torch.testing.assert_close(scores[user, :found], torch.tensor([s for _, s in expected]))
        assert (ids[user, found:] == 0).all()
        assert (scores[user, found:] == -torch.inf).all()


def test_equal_scores_go_by_the_smaller_semantic_id():
    tokens = random_tokens(40, [4, 5, 6], seed=3)
    by_tokens = sorted(range(1, 41), key=lambda item: tokens[item].tolist())
    ids, scores = search(PrefixModel(2, 20, seed=0, levels=1), tokens, 13)
    assert ids.tolist() == [by_tokens[:13]] * 2
    torch.testing.assert_close(scores, torch.full((2, 13), -3 * torch.tensor(20.0).log().item()))


def test_a_beam_never_leaves_the_catalogue_even_if_everything_else_is_likelier():
    tokens = random_tokens(3, [4, 4, 4], seed=1)
    logits = torch.full((2, 30), 50.0)  # of every token ...
    logits[:, tokens[1:].flatten()] = -50.0  # ... but those of the three items

    def step(tokens, parents):
        return logits.unsqueeze(1).expand(-1, tokens.shape[1], -1)

    ids, scores = beam_search(step, ItemTrie(tokens), 5, 2)
    assert [sorted(row) for row in ids.tolist()] == [[0, 0, 1, 2, 3]] * 2
    assert (scores[:, :3] < -200).all() and (scores[:, :3] > -torch.inf).all()


def test_certain_tokens_score_zero():
    """Log-probabilities of exactly 0 are the end of the range that the sort key covers."""
    tokens = random_tokens(4, [2, 2], seed=0)

    def step(tokens_in, parents):
        level = 0 if tokens_in.shape[1] == 1 and tokens_in[0, 0] == 0 else 1
        logits = torch.full((1, tokens_in.shape[1], 5), -1000.0)
        logits[..., tokens[2, level]] = 1000.0
        return logits

    ids, scores = beam_search(step, ItemTrie(tokens), 4, 1)
    assert ids[0, 0] == 2
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert scores[0].tolist() == [0.0, -2000.0, -2000.0, -4000.0]


@pytest.mark.parametrize("bits", [0x7FC00000, -0x400000], ids=["positive", "negative"])
def test_nan_is_not_passed_over(bits):
    nan = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    trie = ItemTrie(torch.tensor([[0, 0], [1, 3], [1, 4], [2, 3]]))

    def step(tokens, parents):
        logits = torch.zeros(*tokens.shape, 5)
        logits[1] = nan
        return logits

    items, scores = beam_search(step, trie, 3, batch_size=2)
    assert scores[0].isfinite().all() and scores[1].isnan().all()
    assert sorted(items[0].tolist()) == [1, 2, 3]


def test_the_beam_must_be_positive():
    with pytest.raises(ValueError, match="beam_size must be at least 1, got 0"):
        beam_search(lambda *_: None, ItemTrie(torch.tensor([[0], [1]])), 0, 1)
