"""The operations with gradients of their own, against autograd through torch's."""

import pytest
import torch
import torch.nn.functional as F

from recbole_genrec.model.kernels import attention
from recbole_genrec.model.kernels.attention import attend
from recbole_genrec.model.kernels.dropout import dropout
from recbole_genrec.model.kernels.linear import feed_forward
from recbole_genrec.model.kernels.norm import normalize

NEAR = {"rtol": 1e-4, "atol": 1e-5}


def assert_same(ours: torch.Tensor, expected: torch.Tensor, sources: list[torch.Tensor]) -> None:
    """Equal values, and equal gradients for random ones from above."""
    torch.testing.assert_close(ours, expected, **NEAR)
    above = torch.randn_like(expected)
    pairs = zip(
        torch.autograd.grad(ours, sources, above),
        torch.autograd.grad(expected, sources, above),
        strict=True,
    )
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, **NEAR)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("dropout_rate", [0.0, 0.3])
def test_attention(own: bool, dropout_rate: float, monkeypatch):
    """Of a sequence to itself in one tensor, or of 5 queries to 7 keys."""
    n, heads, d_kv, queries, keys = 3, 2, 4, 5, 5 if own else 7
    shapes = [(n, keys, 3 * 8)] if own else [(n, queries, 8), (n, keys, 2 * 8)]
    projected = [torch.randn(shape, requires_grad=True) for shape in shapes]
    bias = torch.randn(n * heads, queries, keys, requires_grad=True)
    keep = (torch.rand(n, heads, queries, keys) > dropout_rate) / (1 - dropout_rate)
    monkeypatch.setattr(attention, "keep_mask", lambda x, p: keep.view_as(x))
    q, k, v = (
        part.view(n, -1, heads, d_kv).transpose(1, 2)
        for tensor, parts in zip(projected, [3] if own else [1, 2], strict=True)
        for part in tensor.chunk(parts, -1)
    )
    weights = (q @ k.mT + bias.view(n, heads, queries, keys)).softmax(-1) * keep
    expected = (weights @ v).transpose(1, 2).flatten(2)
    assert_same(attend(projected, bias, heads, dropout_rate), expected, [*projected, bias])


def test_normalize():
    x = torch.randn(3, 4, 6, requires_grad=True)
    assert_same(normalize(x, 0.1), F.rms_norm(x, [6], eps=0.1), [x])


@pytest.mark.parametrize("dropout_rate", [0.0, 0.5])
def test_feed_forward(dropout_rate: float):
    x, w_in, w_out = (torch.randn(*shape) for shape in [(3, 4, 6), (50, 6), (5, 50)])
    sources = [tensor.requires_grad_() for tensor in (x, w_in, w_out)]
    torch.manual_seed(1)
    ours = feed_forward(*sources, dropout_rate)
    torch.manual_seed(1)
    hidden = F.relu(F.linear(x, w_in))
    assert_same(ours, F.linear(dropout(hidden, dropout_rate, True), w_out), sources)
