"""The soft quantizer of UniGRec against plain loops, and its limits."""

import math

import pytest
import torch
from torch import Tensor

from recbole_genrec.tokenizer import create_tokenizer
from recbole_genrec.tokenizer.kmeans import kmeans
from recbole_genrec.tokenizer.residual import residual_codes
from recbole_genrec.tokenizer.soft_rqvae import SoftRQVAE, annealed, uniformity


@pytest.fixture
def soft(settings) -> SoftRQVAE:
    """Untrained, with random codebooks of unequal size and a high temperature."""
    tokenizer = create_tokenizer(settings("SoftRQVAE", codebook_sizes=[5, 3, 4]), 24)
    for codebook in tokenizer.codebooks:
        torch.nn.init.normal_(codebook, std=0.5)
    tokenizer.temperature.fill_(0.7)
    return tokenizer


def test_assignments_equal_the_plain_ones(soft, embeddings: Tensor) -> None:
    """Eq. 14, where the residual loses the probability-weighted codeword."""
    levels = soft.assignments(embeddings[:10])
    assert [list(level.shape) for level in levels] == [[10, 5], [10, 3], [10, 4]]
    for item, z in enumerate(embeddings[:10]):
        residual = soft.encoder(z).tolist()
        for probabilities, codebook in zip(levels, soft.codebooks, strict=True):
            words = codebook.tolist()
            weights = [
                math.exp(-sum((r - e) ** 2 for r, e in zip(residual, word, strict=True)) / 0.7)
                for word in words
            ]
            expected = [weight / sum(weights) for weight in weights]
            assert probabilities[item].tolist() == pytest.approx(expected, rel=1e-4)
            for p, word in zip(expected, words, strict=True):
                residual = [r - p * e for r, e in zip(residual, word, strict=True)]


def test_uniformity_equals_the_plain_sum() -> None:
    levels = [torch.rand(6, 3).softmax(1), torch.rand(6, 2).softmax(1)]
    expected = 0.0
    for level in levels:
        for column in level.T.tolist():
            mean = sum(column) / len(column)
            expected += mean * math.log(mean)  # Eq. 17
    assert float(uniformity(levels)) == pytest.approx(expected)


def test_uniformity_is_least_for_uniform_use() -> None:
    uniform = torch.eye(4)  # each item certain, all codes used alike
    collapsed = torch.eye(4)[[0, 0, 0, 0]].requires_grad_()
    assert uniformity([uniform]).item() == pytest.approx(-math.log(4))
    loss = uniformity([collapsed])
    assert loss.item() == pytest.approx(0, abs=1e-8)
    loss.backward()
    assert collapsed.grad.isfinite().all()


def test_temperatures_may_be_integers(settings) -> None:
    whole = settings("SoftRQVAE", tokenizer_temperature_max=1, tokenizer_temperature_min=0.5)
    assert create_tokenizer(whole, 24).temperature.dtype == torch.float32


def test_temperature_falls_linearly() -> None:
    assert annealed(0.0, 0.01, 0.001) == 0.01
    assert annealed(1.0, 0.01, 0.001) == pytest.approx(0.001)
    assert annealed(0.25, 0.01, 0.001) == pytest.approx(0.00775)  # 0.01 - 0.25 * 0.009


def test_loss_is_that_of_pretraining(soft, embeddings: Tensor) -> None:
    """Eq. 21 with the mean squared error, at the temperature of the step (Eq. 16)."""
    loss = soft.loss(embeddings, 0.5)
    assert float(soft.temperature) == pytest.approx(0.0055)
    decoded = soft.reconstruct(embeddings).detach()
    means = [level.detach().mean(0) for level in soft.assignments(embeddings)]
    entropy = sum(torch.special.entr(mean).sum().item() for mean in means)
    expected = (decoded - embeddings).square().mean().item() - 1e-4 * entropy
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_soft_tends_to_hard_as_the_temperature_falls(soft, embeddings: Tensor) -> None:
    latent = soft.to_latent(embeddings)
    hard = residual_codes(latent, soft.codebooks)
    hard_sum = sum(book[hard[:, level]] for level, book in enumerate(soft.codebooks))
    distances, agreements = [], []
    for temperature in (1.0, 0.1, 0.01, 1e-4):
        soft.temperature.fill_(temperature)
        difference = soft.soft_quantize(latent)[1] - hard_sum
        distances.append(difference.square().sum(1).mean().item())
        agreements.append(float((soft.encode(embeddings) == hard).float().mean()))
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-3 * distances[0]
    assert agreements[-1] > 0.995
    torch.testing.assert_close(
        soft.assignments(embeddings)[0].max(1).values, torch.ones(400), atol=0.05, rtol=0
    )


def test_codes_are_the_argmax_of_the_assignments(soft, embeddings: Tensor) -> None:
    codes = soft.encode(embeddings)
    for level, probabilities in enumerate(soft.assignments(embeddings)):
        assert torch.equal(codes[:, level], probabilities.argmax(1))


def test_logarithms_hold_where_probabilities_underflow(soft, embeddings: Tensor) -> None:
    for p, log_p in zip(
        soft.assignments(embeddings), soft.log_assignments(embeddings), strict=True
    ):
        torch.testing.assert_close(p.log(), log_p)
    soft.temperature.fill_(1e-4)
    assert any((level == 0).any() for level in soft.assignments(embeddings))
    assert all(level.isfinite().all() for level in soft.log_assignments(embeddings))


def test_gradients_reach_encoder_and_codebooks(soft, embeddings: Tensor) -> None:
    """From the probabilities alone, as the loss of a recommender that reads them sends it."""
    tables = [torch.randn(size, 6) for size in soft.codebook_sizes]
    levels = soft.assignments(embeddings[:50])
    tokens = [p @ table for p, table in zip(levels, tables, strict=True)]
    sum(token.square().sum() for token in tokens).backward()
    for parameter in [*soft.encoder.parameters(), *soft.codebooks]:
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in soft.decoder.parameters())


def test_one_level_gradient_against_finite_differences(soft, embeddings: Tensor) -> None:
    soft = soft.double()
    rows = embeddings[:4].double()
    codebook = soft.codebooks[1]

    def third_level(codewords: Tensor) -> Tensor:
        with torch.no_grad():
            codebook.copy_(codewords)
        return soft.assignments(rows)[2]

    loss = third_level(codebook.detach().clone())[:, 0].sum()
    (gradient,) = torch.autograd.grad(loss, codebook)
    base, step = codebook.detach().clone(), 1e-5
    for position in [(0, 0), (1, 5), (2, 3)]:
        shift = torch.zeros_like(base)
        shift[position] = step
        up, down = third_level(base + shift)[:, 0].sum(), third_level(base - shift)[:, 0].sum()
        assert float(gradient[position]) == pytest.approx((up - down).item() / (2 * step), rel=1e-4)


def test_codebooks_start_on_the_residuals_of_the_soft_codewords(soft, embeddings: Tensor) -> None:
    soft._start_codebooks(embeddings, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    rows = soft.to_latent(embeddings[torch.randperm(400, generator=generator)]).detach()
    for codebook in soft.codebooks:
        expected, _ = kmeans(rows, len(codebook), 10, generator)
        torch.testing.assert_close(codebook.detach(), expected)
        scores = (-torch.cdist(rows, expected).square() / 0.7).softmax(1)
        rows = rows - scores @ expected


def test_training_ends_at_the_lowest_temperature(settings, embeddings: Tensor) -> None:
    tokenizer = create_tokenizer(settings("SoftRQVAE"), 24)
    assert float(tokenizer.temperature) == pytest.approx(0.01)
    tokenizer.fit(embeddings)
    assert float(tokenizer.temperature) == pytest.approx(0.001)
    tops = [level.max(1).values.mean().item() for level in tokenizer.assignments(embeddings)]
    assert tokenizer.summary["top_probability"] == pytest.approx(tops, abs=1e-3)
    assert "temperature" in tokenizer.state_dict()
    assert tokenizer.encode(embeddings).unique(dim=0).shape[0] >= 40
