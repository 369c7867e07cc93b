import math

import pytest
import torch

from recbole_genrec.errors import InputError
from recbole_genrec.loss.token_weights import (
    effective_number,
    frequency_weights,
    front_greater_weights,
    normalize_per_target,
)
from recbole_genrec.tokenizer.prefixes import dispersion, prefix_groups

from .conftest import random_context


def exact(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_front_greater_by_hand(context):
    tokens, embeddings = context.tokens[1:], context.item_embeddings[1:]
    torch.testing.assert_close(front_greater_weights(tokens, embeddings), exact(25, 1) * 2 / 26)
    # distances drop by 4, then by 1
    gain = exact(math.log(5), math.log(2))
    torch.testing.assert_close(
        front_greater_weights(tokens, embeddings, form="released"), gain * 2 / gain.sum()
    )


@pytest.mark.parametrize("codebook_sizes", [[3], [4, 4], [2, 5, 3], [3, 3, 3, 3]])
def test_dispersion_equals_a_loop_over_groups_and_never_rises(codebook_sizes):
    """The sum over groups of Section 4.1.1, and Lemma 4.1."""
    n_items = math.prod(codebook_sizes) * 2 // 3
    context = random_context(n_items, codebook_sizes, dim=70)
    tokens, embeddings = context.tokens[1:], context.item_embeddings[1:].double()
    expected = []
    for k in range(len(codebook_sizes) + 1):
        groups: dict[tuple, list[int]] = {}
        for item, row in enumerate(tokens.tolist()):
            groups.setdefault(tuple(row[:k]), []).append(item)
        expected.append(
            sum(
                ((embeddings[g] - embeddings[g].mean(0)) ** 2).sum().item() for g in groups.values()
            )
            / n_items
        )
    mu = dispersion(prefix_groups(tokens), embeddings)
    torch.testing.assert_close(mu, exact(*expected))
    assert (mu.diff() <= 1e-12).all()
    weights = front_greater_weights(tokens, embeddings)
    assert weights.sum().item() == pytest.approx(len(codebook_sizes))


@pytest.mark.parametrize(
    ("embeddings", "form", "message"),
    [
        (torch.ones(4, 3), "paper", "differ between items"),
        (torch.full((4, 3), torch.nan), "paper", "finite"),
        (torch.randn(4, 3), "papr", "front_greater_form .papr. should be one of paper, released"),
    ],
)
def test_front_greater_rejects(context, embeddings, form, message):
    with pytest.raises(InputError, match=message):
        front_greater_weights(context.tokens[1:], embeddings, form)


def test_effective_number_has_diminishing_gains():
    """Lemma 4.2: the n-th occurrence adds beta^(n-1)."""
    counts = torch.arange(200)
    numbers = effective_number(counts, beta=0.9)
    assert numbers[0] == 0
    torch.testing.assert_close(numbers.diff(), 0.9 ** counts[:-1].double())
    assert (numbers.diff() > 0).all() and (numbers.diff().diff() < 0).all()


def test_frequency_by_hand(context):
    # with beta = 1/2: E_0 -> E_1 = 1 (never seen), E_2 = 3/2, E_3 = 7/4, E_4 = 15/8
    # token 1 is seen 1 + 3 times, token 2 2 + 0, token 3 1 + 2, token 4 3 + 0
    weights = frequency_weights(context.tokens, context.target_counts, vocab_size=6, beta=0.5)
    torch.testing.assert_close(weights, exact(1, 8 / 15, 2 / 3, 4 / 7, 4 / 7, 1))
    of_item_3 = normalize_per_target(weights[context.tokens[3:4]])
    torch.testing.assert_close(of_item_3, exact(2 / 3, 4 / 7)[None] * 2 / (2 / 3 + 4 / 7))


def test_normalized_weights_sum_to_the_number_of_levels():
    context = random_context(20, [3, 4, 5])
    weights = frequency_weights(context.tokens, context.target_counts, context.vocab_size)
    per_target = normalize_per_target(weights[context.tokens[1:]])
    torch.testing.assert_close(per_target.sum(1), torch.full((20,), 3.0, dtype=torch.float64))
    rarer = context.target_counts * 3
    assert (weights >= frequency_weights(context.tokens, rarer, context.vocab_size)).all()


@pytest.mark.parametrize("beta", [0, 1, -0.5, "0.9"])
def test_frequency_rejects_beta(context, beta):
    with pytest.raises(InputError, match="frequency_beta"):
        frequency_weights(context.tokens, context.target_counts, 6, beta)
