import pytest
import torch
from torch.nn import functional as F

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


def test_tokenizer_side_trains_both_projections_and_vanishes_at_agreement():
    module = TokenizerDistillation(encoder_dim=4, teacher_dim=4, tokenizer_dim=3)
    codebooks = torch.randn(2, 8, 3)

    def log_assignments(x):
        return [(-torch.cdist(x, codebook).square()).log_softmax(1) for codebook in codebooks]

    history, teacher, items = torch.randn(5, 4), torch.randn(5, 4), torch.arange(5)
    module(history, teacher, items, log_assignments).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())

    module.teacher_projection.load_state_dict(module.encoder_projection.state_dict())
    assert module(history, history, items, log_assignments).item() == 0
