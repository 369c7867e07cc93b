from math import exp, log

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.loss.distillation import (
    RecommenderDistillation,
    TokenizerDistillation,
    first_occurrences,
    info_nce,
    symmetric_kl,
    tokenizer_distillation,
)


def slow_info_nce(a: torch.Tensor, b: torch.Tensor, temperature: float) -> torch.Tensor:
    """Eq. 19 term by term, averaged."""
    terms = []
    for i in range(len(a)):
        similarity = [F.cosine_similarity(a[i], b[j], dim=0) / temperature for j in range(len(b))]
        terms.append(-(similarity[i].exp() / sum(s.exp() for s in similarity)).log())
    return sum(terms) / len(terms)


def test_each_item_counts_where_it_comes_first():
    items = torch.tensor([5, 2, 5, 5, 7, 2])
    assert first_occurrences(items).tolist() == [True, True, False, False, True, False]


def test_symmetric_kl_is_both_divergences():
    p, q = torch.rand(4, 8).softmax(1), torch.randn(4, 8).softmax(1)
    expected = (p * (p / q).log()).sum(1) + (q * (q / p).log()).sum(1)
    torch.testing.assert_close(symmetric_kl(p.log(), q.log()), expected)


def test_symmetric_kl_of_nearly_hard_assignments_is_finite():
    logits = (-torch.rand(4, 8) / 1e-4).requires_grad_()  # most probabilities are 0 in float32
    value = symmetric_kl(logits.log_softmax(1), logits.flip(1).log_softmax(1)).sum()
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(logits.grad).all()


def test_tokenizer_side_sums_levels_and_averages_distinct_items():
    items = torch.tensor([3, 4, 3, 9])
    log_p = [torch.randn(4, size).log_softmax(1) for size in (8, 5)]
    log_q = [torch.randn(4, size).log_softmax(1) for size in (8, 5)]
    expected = sum(
        symmetric_kl(log_p[level][i], log_q[level][i]) for level in (0, 1) for i in (0, 1, 3)
    )
    torch.testing.assert_close(tokenizer_distillation(log_p, log_q, items), expected / 3)
    mean = tokenizer_distillation(log_p, log_q, items, "mean")
    torch.testing.assert_close(mean, expected / 6)
    assert tokenizer_distillation(log_p, log_p, items) == 0


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_info_nce_equals_a_loop(temperature):
    a, b = torch.randn(6, 16), torch.randn(6, 16)
    torch.testing.assert_close(
        info_nce(a, b, torch.arange(6), temperature), slow_info_nce(a, b, temperature)
    )


def test_info_nce_sees_repeated_items_once():
    a, b = torch.randn(5, 16, requires_grad=True), torch.randn(5, 16)
    items = torch.tensor([8, 3, 8, 4, 3])
    value = info_nce(a, b, items)
    torch.testing.assert_close(value, slow_info_nce(a[[0, 1, 3]], b[[0, 1, 3]], 0.07))
    value.backward()
    assert torch.isfinite(a.grad).all()
    assert (a.grad.abs().sum(1) > 0).tolist() == [True, True, False, True, False]


def test_recommender_side_is_bidirectional_and_vanishes_at_agreement():
    module = RecommenderDistillation(decoder_dim=4, teacher_dim=6)
    decoder, teacher, items = torch.randn(5, 4), torch.randn(5, 6), torch.arange(5)
    value = module(decoder, teacher, items)
    projected = module.decoder_projection(decoder)
    expected = slow_info_nce(projected, teacher, 0.07) + slow_info_nce(teacher, projected, 0.07)
    torch.testing.assert_close(value, expected)
    value.backward()
    assert module.decoder_projection.weight.grad.abs().sum() > 0

    with torch.no_grad():  # orthogonal items that agree with the teacher
        module.decoder_projection.weight.zero_()[:4] = torch.eye(4)
        module.decoder_projection.bias.zero_()
    teacher = torch.eye(4, 6)
    assert module(torch.eye(4), teacher, torch.arange(4)).item() == pytest.approx(0, abs=1e-5)


def slow_tokenizer_side(side, history, teacher, items, codebooks, temperature) -> float:
    """Eq. 14 and 18 number by number, averaged over the distinct items and the levels."""

    dims = range(codebooks.shape[2])

    def assignments(x: list[float]) -> list[list[float]]:
        levels = []
        for codebook in codebooks.tolist():
            squares = [sum((a - b) ** 2 for a, b in zip(x, e, strict=True)) for e in codebook]
            scores = [exp(-square / temperature) for square in squares]
            levels.append([score / sum(scores) for score in scores])
            soft = [sum(p * e[d] for p, e in zip(levels[-1], codebook, strict=True)) for d in dims]
            x = [a - b for a, b in zip(x, soft, strict=True)]
        return levels

    seen, terms = set(), []
    for h, t, item in zip(history, teacher, items.tolist(), strict=True):
        if item in seen:
            continue
        seen.add(item)
        ours = assignments(side.encoder_projection(h).tolist())
        theirs = assignments(side.teacher_projection(t).tolist())
        for p, q in zip(ours, theirs, strict=True):
            terms.append(sum(a * log(a / b) for a, b in zip(p, q, strict=True)))
            terms[-1] += sum(b * log(b / a) for a, b in zip(p, q, strict=True))
    return sum(terms) / len(terms)


def residual_quantizer(codebooks: torch.Tensor):
    """The soft quantizer without the MLP: `log_assignments` of `TokenizerDistillation`."""

    def log_assignments(x, temperature):
        levels = []
        for codebook in codebooks:
            logits = -(x.unsqueeze(1) - codebook).square().sum(2) / (temperature or 0.3)
            levels.append(logits.log_softmax(1))
            x = x - logits.softmax(1) @ codebook
        return levels

    return log_assignments


def tokenizer_side(form: str, **settings) -> TokenizerDistillation:
    return TokenizerDistillation(4, torch.randn(30, 5), torch.randn(30, 3), form, **settings)


@pytest.mark.parametrize(
    ("form", "temperature"), [("aligned", 0.05), ("released", 1.0), ("literal", 0.3)]
)
@pytest.mark.parametrize("given", [None, 0.7])
def test_each_form_of_the_tokenizer_side_equals_a_slow_computation(form, temperature, given):
    side = tokenizer_side(form, temperature=given)
    codebooks = torch.randn(2, 6, 3) * 0.5
    history, teacher = torch.randn(5, 4), torch.randn(5, 5)
    items = torch.tensor([8, 3, 8, 4, 3])
    value = side(history, teacher, items, residual_quantizer(codebooks))
    expected = slow_tokenizer_side(side, history, teacher, items, codebooks, given or temperature)
    assert value.item() == pytest.approx(expected, rel=1e-3)
    side.reduction = "sum"
    summed = side(history, teacher, items, residual_quantizer(codebooks))
    assert summed.item() == pytest.approx(2 * expected, rel=1e-3)


@pytest.mark.parametrize(("form", "trained"), [("aligned", 1), ("released", 0), ("literal", 2)])
def test_each_form_trains_its_own_layers(form, trained):
    side = tokenizer_side(form)
    codebooks = torch.randn(2, 6, 3, requires_grad=True)
    value = side(
        torch.randn(5, 4), torch.randn(5, 5), torch.arange(5), residual_quantizer(codebooks)
    )
    value.backward()
    assert len(list(side.parameters())) == 2 * trained
    assert all(parameter.grad.abs().sum() > 0 for parameter in side.parameters())
    assert codebooks.grad.abs().sum() > 0
    assert {f"{side}_projection.weight" for side in ("encoder", "teacher")} < set(side.state_dict())


def test_a_stopped_gradient_leaves_the_encoder_side_alone_to_train():
    codebooks = torch.randn(2, 6, 3, requires_grad=True)
    history, teacher, items = torch.randn(5, 4), torch.randn(5, 5), torch.arange(5)
    side = tokenizer_side("literal", stop_gradient=True)
    value = side(history, teacher, items, residual_quantizer(codebooks))
    (gradient,) = torch.autograd.grad(value, codebooks, retain_graph=True)
    value.backward()
    assert all(parameter.grad is None for parameter in side.teacher_projection.parameters())

    fixed = residual_quantizer(codebooks.detach())(side.teacher_projection(teacher).detach(), None)
    moving = residual_quantizer(codebooks)(side.encoder_projection(history), None)
    expected = tokenizer_distillation(moving, fixed, items, "mean")
    assert torch.equal(gradient, torch.autograd.grad(expected, codebooks)[0])


def test_the_tokenizer_side_vanishes_at_agreement():
    side = tokenizer_side("literal")
    side.teacher_projection = side.encoder_projection
    history = torch.randn(5, 4)
    quantizer = residual_quantizer(torch.randn(2, 6, 3))
    assert side(history, history, torch.arange(5), quantizer).item() == 0


def test_an_unknown_form_is_refused():
    with pytest.raises(InputError, match="tokenizer_distillation_form should be .* mean .aligned"):
        tokenizer_side("alined")
