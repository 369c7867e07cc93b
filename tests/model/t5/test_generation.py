"""Generation against exhaustive scoring, a plain beam search and `transformers` generate."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_genrec.decoding.trie import ItemTrie
from recbole_genrec.model.t5 import generation
from recbole_genrec.model.t5.t5 import T5
from tests.decoding.oracle import catalogues, random_tokens, slow_beam_search
from tests.model.t5.t5_cases import log_likelihood, make_batch, make_t5

TOKENS = random_tokens(30, [3, 4, 5], seed=0)
item_counts = st.lists(st.integers(1, 20), min_size=1, max_size=6)


def generate(t5: T5, batch, tokens: torch.Tensor, beam_size: int):
    trie = ItemTrie(tokens)
    return generation.generate(t5, batch.history, batch.lengths, trie, beam_size)


def scores_of_all(t5: T5, batch, tokens: torch.Tensor) -> torch.Tensor:
    """[batch, n_items] log-likelihood of every item, each by a forward pass of its own."""
    n = len(tokens) - 1
    return torch.stack(
        [
            log_likelihood(t5, batch.history, batch.lengths, row.expand(len(batch.lengths), -1))
            for row in tokens[1:]
        ],
        1,
    ).view(-1, n)


def assert_same_ranking(ids, scores, expected_ids, expected_scores):
    """Equal scores rank by rank, and equal ids wherever rounding cannot have swapped them."""
    torch.testing.assert_close(scores, expected_scores, rtol=0, atol=1e-4)
    gap = expected_scores.diff(dim=1).abs()
    clear = torch.nn.functional.pad(gap, (1, 0), value=1) > 1e-4
    clear &= torch.nn.functional.pad(gap, (0, 1), value=1) > 1e-4
    assert torch.equal(ids[clear], expected_ids[clear])


@settings(max_examples=30)
@given(catalogues(), item_counts, st.integers(0, 9))
@torch.no_grad()
def test_a_beam_as_wide_as_the_catalogue_equals_exhaustive_scoring(tokens, items, seed):
    t5 = make_t5(seed)
    batch = make_batch([n * tokens.shape[1] for n in items], tokens.shape[1], seed)
    exact, order = scores_of_all(t5, batch, tokens).sort(descending=True)
    ids, scores = generate(t5, batch, tokens, len(tokens) - 1)
    assert_same_ranking(ids, scores, order + 1, exact)


@settings(max_examples=20)
@given(catalogues(), item_counts, st.integers(1, 12), st.integers(0, 9))
@torch.no_grad()
def test_equals_a_beam_search_written_plainly(tokens, items, beam_size, seed):
    t5 = make_t5(seed)
    batch = make_batch([n * tokens.shape[1] for n in items], tokens.shape[1], seed)
    ids, scores = generate(t5, batch, tokens, beam_size)
    for user, history in enumerate(batch.history.split(batch.lengths.tolist())):

        def score(prefix, history=history):
            length = torch.tensor([len(history)])
            return float(log_likelihood(t5, history, length, torch.tensor([prefix])))

        expected = slow_beam_search(score, tokens, beam_size)
        n = len(expected)
        expected_ids, expected_scores = (torch.tensor([row]) for row in zip(*expected, strict=True))
        assert_same_ranking(
            ids[user, None, :n], scores[user, None, :n], expected_ids, expected_scores
        )
        assert (ids[user, n:] == 0).all() and (scores[user, n:] == -torch.inf).all()


@pytest.mark.parametrize("beam_size", [2, 5, 12])
@torch.no_grad()
def test_equals_transformers_generate(beam_size):
    # `transformers` sizes its cache by the encoder, so the stacks are equally deep
    t5, batch = make_t5(num_decoder_layers=2), make_batch([3, 60, 9, 9, 21], 3)
    prefixes = {}
    for row in TOKENS[1:].tolist():
        for level, token in enumerate(row):
            prefixes.setdefault(tuple(row[:level]), []).append(token)
    inputs = batch.padded()
    out = t5.to_transformers().generate(
        inputs_embeds=inputs["inputs_embeds"],
        attention_mask=inputs["attention_mask"],
        num_beams=beam_size,
        num_return_sequences=beam_size,
        max_new_tokens=3,
        length_penalty=0.0,
        do_sample=False,
        prefix_allowed_tokens_fn=lambda _, prefix: prefixes[tuple(prefix[1:].tolist())],
        return_dict_in_generate=True,
        output_scores=True,
    )
    item = {tuple(row): item for item, row in enumerate(TOKENS.tolist())}
    expected_ids = torch.tensor([item[tuple(row)] for row in out.sequences[:, 1:].tolist()])
    ids, scores = generate(t5, batch, TOKENS, beam_size)
    expected_scores = out.sequences_scores.view(5, -1)
    assert_same_ranking(ids, scores, expected_ids.view(5, -1), expected_scores)


@torch.no_grad()
def test_a_causal_model_generates_with_its_own_mask():
    t5 = make_t5(history_attention="causal", tokens_per_item=3)
    batch = make_batch([60, 3, 27], 3)
    exact, order = scores_of_all(t5, batch, TOKENS).sort(descending=True)
    ids, scores = generate(t5, batch, TOKENS, 30)
    assert_same_ranking(ids, scores, order + 1, exact)
    other = T5(**t5.options).eval()
    other.load_state_dict(t5.state_dict(), strict=False)  # it has no use for the recency
    assert (generate(other, batch, TOKENS, 30)[1] - scores).abs().max() > 1e-3


@torch.no_grad()
def test_only_allowed_items_are_generated_with_their_scores():
    t5, batch = make_t5(), make_batch([9, 30], 3)
    allowed = torch.tensor([29, 3, 17, 8])
    exact = scores_of_all(t5, batch, TOKENS)[:, allowed - 1]
    trie = ItemTrie(TOKENS).restrict(allowed)
    ids, scores = generation.generate(t5, batch.history, batch.lengths, trie, 6)
    ranked, order = exact.sort(descending=True)
    assert_same_ranking(ids[:, :4], scores[:, :4], allowed[order], ranked)
    assert (ids[:, 4:] == 0).all()


@torch.no_grad()
def test_users_are_independent_of_their_order_and_chunk(monkeypatch):
    t5 = make_t5()
    batch = make_batch([30, 3, 60, 3, 12, 12, 57, 6, 9], 3)
    ids, scores = generate(t5, batch, TOKENS, 5)
    for history, length, user in zip(
        batch.history.split(batch.lengths.tolist()), batch.lengths, range(9), strict=True
    ):
        alone = generation.generate(t5, history, length.view(1), ItemTrie(TOKENS), 5)
        assert_same_ranking(*alone, ids[user, None], scores[user, None])
    monkeypatch.setitem(generation.BEAMS_AT_ONCE, "cpu", 10)  # two users at once
    assert_same_ranking(*generate(t5, batch, TOKENS, 5), ids, scores)


def test_generation_has_no_dropout_and_leaves_the_mode_as_it_was():
    t5, batch = make_t5(dropout_rate=0.5), make_batch([30, 3], 3)
    expected = generate(t5, batch, TOKENS, 5)
    t5.train()
    ids, scores = generate(t5, batch, TOKENS, 5)
    assert t5.training and all(module.training for module in t5.modules())
    assert torch.equal(ids, expected[0]) and torch.equal(scores, expected[1])
    assert not scores.requires_grad


@torch.no_grad()
def test_autocast_decodes_in_bfloat16():
    t5, batch = make_t5(), make_batch([30, 3, 9], 3)
    exact = scores_of_all(t5, batch, TOKENS)
    with torch.autocast("cpu", torch.bfloat16):
        ids, scores = generate(t5, batch, TOKENS, 30)
    assert scores.dtype == torch.float32
    error = (scores - exact.gather(1, ids - 1)).abs().max()
    assert 1e-6 < error < 0.3


def test_lengths_that_do_not_fit_the_history_are_an_error():
    t5, batch = make_t5(), make_batch([9, 3], 3)
    with pytest.raises(ValueError, match="add up to 9 tokens, but 12 "):
        generation.generate(t5, batch.history, batch.lengths[:1], ItemTrie(TOKENS), 5)
