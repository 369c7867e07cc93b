import pytest
import torch
import torch.nn.functional as F

from recbole_genrec.model.kernels.linear import linear, linear_add, linear_relu


@pytest.fixture(params=[True, False], ids=["oneDNN", "torch without its operators"], autouse=True)
def _operators(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr("recbole_genrec.model.kernels.linear._onednn_answers", lambda: False)


@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7), (1, 7), (2, 3, 4, 7)])
@pytest.mark.parametrize("d_out", [1, 3, 20])
def test_values_and_gradients_equal_torch(shape, d_out):
    x = torch.randn(shape, requires_grad=True)
    weight = torch.randn(d_out, 7, requires_grad=True)
    ours, expected = linear(x, weight), F.linear(x, weight)
    torch.testing.assert_close(ours, expected)
    upstream = torch.randn_like(expected)
    for mine, theirs in zip(
        torch.autograd.grad(ours, [x, weight], upstream),
        torch.autograd.grad(expected, [x, weight], upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_the_fused_forms_equal_their_parts(dtype):
    x, weight = torch.randn(5, 7, dtype=dtype), torch.randn(4, 7, dtype=dtype)
    residual = torch.randn(5, 4, dtype=dtype)
    near = {"rtol": 0.02, "atol": 0.05} if dtype == torch.bfloat16 else {}
    product = x.float() @ weight.float().t()
    torch.testing.assert_close(linear_relu(x, weight).float(), product.relu(), **near)
    torch.testing.assert_close(
        linear_add(x, weight, residual).float(), product + residual.float(), **near
    )


def test_autocast_multiplies_in_bfloat16():
    x, weight = torch.randn(5, 7), torch.randn(4, 7, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = linear(x, weight)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert weight.grad.dtype == torch.float32
