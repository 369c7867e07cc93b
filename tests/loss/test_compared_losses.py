"""Plain cross-entropy and the compared losses: Rank, Pos, CFT, IGD."""

import pytest
import torch

from recbole_genrec.errors import InputError
from recbole_genrec.loss import LOSSES, LossContext, build_loss
from recbole_genrec.loss.pos import position_weights

from .conftest import DEFAULTS

EVEN = {"rank_temperature": 1.0, "pos_last_weight": 1.0, "cft_weight": 0.0, "igd_weight": 1.0}


def nll_table(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihoods `[batch, L]`, one by one."""
    return torch.stack(
        [
            torch.stack([torch.logsumexp(row, 0) - row[y] for row, y in zip(rows, ys, strict=True)])
            for rows, ys in zip(logits, labels, strict=True)
        ]
    )


def test_cross_entropy_is_the_mean_over_tokens(context, batch):
    loss = build_loss(DEFAULTS | {"loss": "cross_entropy"}, context)(*batch)
    torch.testing.assert_close(loss, nll_table(*batch).mean())


@pytest.mark.parametrize("name", LOSSES)
def test_neutral_weights_give_plain_cross_entropy_to_the_last_bit(name, context, batch):
    """The same value and gradient, whatever the step and the shares of the objectives."""
    logits, labels = batch
    loss = build_loss(DEFAULTS | {"loss": name} | EVEN, context)
    if hasattr(loss, "front_greater_weights"):
        loss.front_greater_weights.fill_(1)
        loss.frequency_weights.fill_(1)
        loss.step += 30_000
    plain = build_loss(DEFAULTS | {"loss": "cross_entropy"}, context)(logits, labels)
    value = loss(logits, labels, torch.randn_like(logits))
    assert torch.equal(value, plain)
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.equal(gradient, torch.autograd.grad(plain, logits)[0])


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_in_bfloat16(name, context, batch):
    logits, labels = batch
    loss = build_loss(DEFAULTS | {"loss": name}, context)
    value = loss(logits.bfloat16(), labels, torch.randn(6, 2, 5).bfloat16())
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(logits.grad).all() and logits.grad.abs().sum() > 0


def test_rank_divides_the_logits(context, batch):
    logits, labels = batch
    loss = build_loss(DEFAULTS | {"loss": "rank", "rank_temperature": 0.6}, context)(logits, labels)
    torch.testing.assert_close(loss, nll_table(logits / 0.6, labels).mean())


def test_pos_by_hand(context, batch):
    assert position_weights(1).tolist() == [1]
    # 1, 3/4, 1/2 sum to 9/4 and shall sum to 3
    assert position_weights(3).tolist() == pytest.approx([4 / 3, 1, 2 / 3])
    loss = build_loss(DEFAULTS | {"loss": "pos"}, context)(*batch)
    expected = (nll_table(*batch) * torch.tensor([4 / 3, 2 / 3])).mean()
    torch.testing.assert_close(loss, expected)


def test_cft_adds_the_loss_of_what_the_history_contributes(context, batch):
    logits, labels = batch
    without_history = torch.randn(6, 2, 5, requires_grad=True)
    loss = build_loss(DEFAULTS | {"loss": "CFT", "cft_weight": 0.3}, context)
    assert loss.needs_history_free
    value = loss(logits, labels, without_history)
    weights = torch.tensor([4 / 3, 2 / 3])
    expected = (nll_table(logits, labels) * weights).mean()
    expected += 0.3 * (nll_table(logits - without_history, labels) * weights).mean()
    torch.testing.assert_close(value, expected)
    value.backward()
    assert without_history.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="logits_without_history"):
        loss(logits, labels)


def test_igd_by_hand():
    """Popularity 4 : 2 : 2 : 0; the first token tells {1, 2} from {3, 4}, the second the item."""
    context = LossContext(
        tokens=torch.tensor([[0, 0, 0], [1, 3, 5], [1, 3, 6], [2, 3, 5], [2, 4, 5]]),
        codebook_sizes=[2, 2, 2],
        item_embeddings=None,
        target_counts=torch.tensor([0, 4, 2, 2, 0]),
    )
    loss = build_loss(DEFAULTS | {"loss": "igd", "igd_weight": 0.1}, context)
    weights = loss.token_weights(context.tokens[1:])
    # gains: item 1: yes, none (level 2 is the same for both), yes; item 3 and 4: only the first
    expected = torch.tensor([[1, 0.1, 1], [1, 0.1, 1], [1, 0.1, 0.1], [1, 0.1, 0.1]])
    torch.testing.assert_close(weights, expected / expected.mean())  # 6.6 of 12
    logits = torch.randn(4, 3, context.vocab_size)
    labels = context.tokens[1:]
    weighted_mean = (nll_table(logits, labels) * expected).sum() / 6.6
    torch.testing.assert_close(loss(logits, labels), weighted_mean)


def test_igd_gives_a_token_that_raises_the_entropy_the_small_weight():
    # items 98 : 1 : 1; the rare pair behind token 2 is more uncertain (1 bit) than the whole
    context = LossContext(
        tokens=torch.tensor([[0, 0], [1, 3], [2, 3], [2, 4]]),
        codebook_sizes=[2, 2],
        item_embeddings=None,
        target_counts=torch.tensor([0, 98, 1, 1]),
    )
    weights = build_loss(DEFAULTS | {"loss": "igd"}, context).token_weights(context.tokens[1:])
    torch.testing.assert_close(weights * 0.55, torch.tensor([[1, 0.1], [0.1, 1], [0.1, 1]]))  # mean


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "cross_entrpy"}, "did you mean .cross_entropy."),
        ({"loss": "TokenWeighted"}, "did you mean .token_weighted."),
        ({"loss": None}, r"loss should be one of cross_entropy, rank.*\[None\]"),
    ],
)
def test_bad_settings_are_named(context, settings, message):
    with pytest.raises(InputError, match=message):
        build_loss(DEFAULTS | settings, context)


def test_context_checks_its_shapes(context):
    with pytest.raises(ValueError, match="tokens have 5 rows, target_counts 4"):
        LossContext(context.tokens, [2, 2], None, context.target_counts[1:])
    with pytest.raises(ValueError, match="2 levels, codebook_sizes 3"):
        LossContext(context.tokens, [2, 2, 2], None, context.target_counts)
