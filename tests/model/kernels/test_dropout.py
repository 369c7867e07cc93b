import pytest
import torch
from transformers import T5ForConditionalGeneration

from recbole_genrec.model.kernels.dropout import dropout
from tests.model.t5.t5_cases import make_batch, make_t5


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(1000, 333), (7, 11_111, 3)])
def test_it_drops_the_given_share_and_keeps_the_mean(p, shape):
    out = dropout(torch.ones(shape), p, training=True)
    kept = out > 0
    n = out.numel()
    deviation = (p * (1 - p) / n) ** 0.5
    assert kept.float().mean().item() == pytest.approx(1 - p, abs=5 * deviation)
    torch.testing.assert_close(
        out[kept], torch.full_like(out[kept], 1 / (1 - p)), rtol=1e-4, atol=0
    )
    pairs = (kept.flatten()[1:] & kept.flatten()[:-1]).float().mean().item()  # share a 64-bit draw
    assert pairs == pytest.approx((1 - p) ** 2, abs=10 * deviation)


def test_the_gradient_flows_through_what_was_kept():
    x = torch.randn(50, 20, requires_grad=True)
    out = dropout(x, 0.3, training=True)
    out.sum().backward()
    torch.testing.assert_close(out, x * x.grad)
    assert set(x.grad.mul(0.7).round(decimals=3).unique().tolist()) == {0.0, 1.0}


def test_it_follows_the_seed_and_rests_in_evaluation():
    x = torch.randn(100)
    torch.manual_seed(1)
    first, second = dropout(x, 0.5, True), dropout(x, 0.5, True)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, 0.5, True), first) and not torch.equal(first, second)
    assert torch.equal(dropout(x, 0.5, False), x)
    assert torch.equal(dropout(x, 0.0, True), x)


@torch.no_grad()
def test_t5_drops_where_transformers_does():
    """The logits of one sample, many times over, have the mean and spread of theirs."""
    n = 3000
    t5 = make_t5(dropout_rate=0.2, num_layers=1, num_decoder_layers=1)
    one = make_batch([6], 3)
    hf: T5ForConditionalGeneration = t5.to_transformers().train()
    inputs = {name: value.expand(n, *value.shape[1:]) for name, value in one.padded().items()}
    theirs = hf(**inputs).logits
    ours = t5.train()(one.history.repeat(n, 1), one.lengths.repeat(n), one.inputs.repeat(n, 1))
    spread = theirs.std(0)
    error = (ours.mean(0) - theirs.mean(0)) / (spread * (2 / n) ** 0.5)
    assert error.abs().max() < 5.5 and error.square().mean() < 3
    assert (ours.std(0) / spread).log().abs().mean() < 0.03
