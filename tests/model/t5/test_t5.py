"""Our T5 against `transformers` T5, packed against padded, causal against each prefix alone."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter
from transformers import T5Config, T5ForConditionalGeneration

from recbole_genrec.model.t5.packing import MASKED
from recbole_genrec.model.t5.t5 import T5
from recbole_genrec.model.t5.weights import names
from tests.model.t5.t5_cases import VOCAB, Batch, batches, make_batch, make_t5

SAME = {"rtol": 0, "atol": 1e-5}


def loss_and_gradients(model, logits: torch.Tensor, targets: torch.Tensor, history: torch.Tensor):
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    parameters = [p for p in model.parameters() if p.requires_grad]
    return loss, torch.autograd.grad(loss, [history, *parameters])


@settings(max_examples=30)
@given(batches(), st.integers(0, 9))
def test_logits_equal_those_of_transformers(batch: Batch, seed: int):
    t5 = make_t5(seed)
    theirs = t5.to_transformers()(**batch.padded()).logits
    torch.testing.assert_close(t5(batch.history, batch.lengths, batch.inputs), theirs, **SAME)


@settings(max_examples=30)
@given(batches())
def test_packed_loss_and_gradients_equal_the_padded_ones(batch: Batch):
    t5 = make_t5()
    batch.history.requires_grad_()
    logits = t5(batch.history, batch.lengths, batch.inputs)
    loss, gradients = loss_and_gradients(t5, logits, batch.targets, batch.history)
    hf = t5.to_transformers()
    padded = hf(**batch.padded()).logits
    loss_hf, (history_hf, *gradients_hf) = loss_and_gradients(
        hf, padded, batch.targets, batch.history
    )
    torch.testing.assert_close(loss, loss_hf, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradients[0], history_hf, **SAME)
    sources = names(t5)
    by_name = dict(zip((name for name, _ in hf.named_parameters()), gradients_hf, strict=True))
    for (name, _), gradient in zip(t5.named_parameters(), gradients[1:], strict=True):
        expected = torch.cat([by_name[source] for source in sources[name]])
        torch.testing.assert_close(gradient, expected, **SAME)


def test_weights_survive_the_way_to_transformers_and_back():
    t5 = make_t5()
    back = T5.from_transformers(t5.to_transformers())
    assert back.options == t5.options
    for name, weight in t5.state_dict().items():
        assert torch.equal(back.state_dict()[name], weight), name


def test_a_model_that_transformers_initialised_gives_its_logits():
    config = T5Config(
        vocab_size=VOCAB,
        d_model=16,
        d_kv=6,
        d_ff=24,
        num_layers=2,
        num_decoder_layers=1,
        num_heads=2,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
    )
    hf = T5ForConditionalGeneration(config).eval()
    batch = make_batch([4, 60, 32], 4)
    t5 = T5.from_transformers(hf).eval()
    logits = t5(batch.history, batch.lengths, batch.inputs)
    torch.testing.assert_close(logits, hf(**batch.padded()).logits, **SAME)


def test_initial_weights_have_the_spread_that_transformers_gives_them():
    sizes = {"d_model": 64, "d_ff": 256, "num_heads": 4, "d_kv": 32, "num_layers": 1}
    config = T5Config(vocab_size=500, feed_forward_proj="relu", **sizes)
    theirs = T5.from_transformers(T5ForConditionalGeneration(config)).state_dict()
    ours = T5(500, num_decoder_layers=1, **sizes).state_dict()
    for name, weight in ours.items():
        parts = 3 if "qkv" in name else 1  # q, k and v differ in spread
        for part, expected in zip(weight.chunk(parts), theirs[name].chunk(parts), strict=True):
            assert part.std().item() == pytest.approx(expected.std().item(), rel=0.15), name


@pytest.mark.parametrize(
    "options", [{"feed_forward_proj": "gated-gelu"}, {"tie_word_embeddings": False}]
)
def test_other_kinds_of_t5_cannot_be_converted(options):
    config = T5Config(vocab_size=VOCAB, d_model=16, num_layers=1, **options)
    with pytest.raises(ValueError, match="only T5 v1.0"):
        T5.from_transformers(T5ForConditionalGeneration(config))


@settings(max_examples=20)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 4), st.data())
def test_causal_targets_equal_encoding_each_prefix_alone(items, tokens_per_item, data):
    t5 = make_t5(history_attention="causal", tokens_per_item=tokens_per_item)
    batch = make_batch([n * tokens_per_item for n in items], 3)
    ends = [(s, data.draw(st.integers(1, n))) for s, n in enumerate(items) for _ in range(3)]
    ends = data.draw(st.permutations(ends))
    sequence, visible = torch.tensor(ends).unbind(1)
    targets = torch.randint(1, VOCAB, (len(ends), 3))
    inputs = F.pad(targets[:, :-1], (1, 0))
    batch.history.requires_grad_()
    logits = t5(batch.history, batch.lengths, inputs, sequence, visible * tokens_per_item)
    histories = batch.history.split(batch.lengths.tolist())
    prefixes = [histories[s][: n * tokens_per_item] for s, n in ends]
    alone = torch.cat(
        [
            t5(prefix, torch.tensor([len(prefix)]), row.unsqueeze(0))
            for prefix, row in zip(prefixes, inputs, strict=True)
        ]
    )
    torch.testing.assert_close(logits, alone, **SAME)
    loss, gradients = loss_and_gradients(t5, logits, targets, batch.history)
    loss_alone, gradients_alone = loss_and_gradients(t5, alone, targets, batch.history)
    torch.testing.assert_close(loss, loss_alone, rtol=0, atol=1e-6)
    for gradient, expected in zip(gradients, gradients_alone, strict=True):
        torch.testing.assert_close(gradient, expected, **SAME)


def test_history_attention_matters():
    """The control of the test above: bidirectional states of a prefix know the items after it."""
    batch = make_batch([12], 3)
    both = make_t5(), make_t5(history_attention="causal", tokens_per_item=3)
    cut = torch.tensor([9])
    bidirectional, causal = (
        t5.encode(batch.history, batch.lengths).tokens()[:9]
        - t5.encode(batch.history[:9], cut).tokens()
        for t5 in both
    )
    assert causal.abs().max() < 1e-5 < 1e-2 < bidirectional.abs().max()


def test_the_decoder_is_told_how_many_items_back_a_token_lies():
    t5 = make_t5(history_attention="causal", tokens_per_item=2, num_heads=1)
    with torch.no_grad():  # near distances have a bucket each
        t5.recency_bias.weight.copy_(10.0 * torch.arange(len(t5.recency_bias.weight)).unsqueeze(1))
    # three items of two tokens; the first target sees all, the second the first two items
    distance = torch.tensor([[[5, 4, 3, 2, 1, 0], [3, 2, 1, 0, -1, -2]]])
    bias = t5.cross_bias(distance, seen=distance >= 0)
    assert bias.tolist() == [[[20, 20, 10, 10, 0, 0], [10, 10, 0, 0, MASKED, MASKED]]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": torch.tensor([3, 0, 6])}, r"at least one token, got lengths \[3, 0, 6\]"),
        ({"lengths": torch.tensor([], dtype=torch.long)}, r"at least one token, got lengths \[\]"),
        ({"lengths": torch.tensor([3, 4, 6])}, "add up to 13 tokens, but 18 "),
        ({"visible": torch.tensor([3, 0, 6])}, r"see at least one token, got visible \[3, 0, 6\]"),
        ({"decoder_input_ids": torch.zeros(2, 3, dtype=torch.long)}, "2 targets for 3 histories"),
    ],
)
def test_batches_that_do_not_fit_together_are_an_error(change, message):
    batch = make_batch([3, 9, 6], 3)
    given_batch = {
        "history": batch.history,
        "lengths": batch.lengths,
        "decoder_input_ids": batch.inputs,
    }
    with pytest.raises(ValueError, match=message):
        make_t5()(**(given_batch | change))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"history_attention": "sideways"}, "must be one of .*, got 'sideways'"),
        ({"history_attention": "causal"}, "needs tokens_per_item"),
    ],
)
def test_wrong_options_are_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        T5(VOCAB, **options)


def test_compiled_layers_compute_the_same_for_batches_of_all_shapes():
    shapes = {"history_attention": "causal", "tokens_per_item": 3, "num_decoder_layers": 1}
    plain, compiled = (make_t5(num_layers=1, **shapes) for _ in range(2))
    compiled.compile_layers(counter := CompileCounter())
    for lengths in ([30, 30, 30, 21, 9, 12, 18], [33, 33, 33, 12, 21], [3, 27, 24, 6, 9, 27]):
        batch = make_batch(lengths, 4)
        each = []
        for t5 in (plain, compiled):
            logits = t5(batch.history.requires_grad_(), batch.lengths, batch.inputs)
            each.append(loss_and_gradients(t5, logits, batch.targets, batch.history))
        torch.testing.assert_close(*each, **SAME)
    if torch.__version__ >= (2, 13):  # older ones compile again for each shape
        assert counter.frame_count == 2  # an encoder and a decoder layer, each for all shapes
