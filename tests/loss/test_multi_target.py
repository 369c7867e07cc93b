import logging
import math

import pytest
import torch

from recbole_genrec.errors import InputError
from recbole_genrec.loss import LossContext, build_loss
from recbole_genrec.loss.multi_target import OBJECTIVES

from .conftest import DEFAULTS, random_context
from .test_compared_losses import nll_table

MIXTURES = ["front_greater", "frequency", "multi_target", "token_weighted"]


def shares(loss, step: int) -> list[float]:
    """Shares of front-greater, frequency and cross-entropy at a step."""
    loss.step.fill_(step)
    return [loss.objective_weights()[name] for name in OBJECTIVES]


def approx(*values: float):
    return pytest.approx(list(values), abs=1e-6)


def test_front_greater_fades_linearly(context):
    loss = build_loss(DEFAULTS | {"loss": "front_greater"}, context)
    assert shares(loss, 0) == approx(1, 0, 0)
    assert shares(loss, 12_500) == approx(0.75, 0, 0.25)
    assert shares(loss, 50_000) == shares(loss, 10**7) == approx(0, 0, 1)


def test_frequency_rises_linearly_to_its_maximum(context):
    loss = build_loss(DEFAULTS | {"loss": "frequency"}, context)
    assert shares(loss, 0) == approx(1, 0, 0)
    assert shares(loss, 25_000) == approx(0.3, 0.2, 0.5)
    assert shares(loss, 40_000) == approx(0, 0.32, 0.68)
    assert shares(loss, 50_000) == shares(loss, 10**7) == approx(0, 0.4, 0.6)


@pytest.mark.parametrize("name", ["front_greater", "frequency"])
def test_linear_schedules_are_those_of_the_released_code(name, context):
    """It takes two forward passes of 256 samples to a step of 512 and counts each of them."""
    loss = build_loss(DEFAULTS | {"loss": name}, context)
    for step in range(0, 35_000, 5_000):  # later its front-greater share is below 0
        passes = 2 * step
        frequency = min(4e-6 * passes, 0.4) if name == "frequency" else 0.0
        front_greater = 1 - 1e-5 * passes - frequency
        assert shares(loss, step) == approx(front_greater, frequency, 1e-5 * passes)


def test_frequency_alone_has_no_front_greater_from_the_first_step_on(context):
    loss = build_loss(DEFAULTS | {"loss": "frequency", "front_greater_decay": 1.0}, context)
    assert shares(loss, 1) == approx(0, 8e-6, 1 - 8e-6)
    assert shares(loss, 25_000) == approx(0, 0.2, 0.8)


def test_the_log_says_what_the_front_greater_weights_of_these_ids_are(context, caplog):
    caplog.set_level(logging.INFO)
    loss = build_loss(DEFAULTS | {"loss": "token_weighted"}, context)
    first, second = loss.front_greater_weights.tolist()
    assert f"levels of these semantic IDs: {first:.3g}, {second:.3g}" in caplog.text


def test_multi_target_shares_lie_on_the_simplex_and_do_not_move_by_themselves(context):
    loss = build_loss(DEFAULTS | {"loss": "multi_target"}, context)
    assert shares(loss, 0) == shares(loss, 10**6) == approx(1 / 3, 1 / 3, 1 / 3)
    with torch.no_grad():
        loss.log_lambda.copy_(torch.tensor([1.0, 2.0, 5.0]).log())
    assert shares(loss, 0) == approx(1 / 8, 2 / 8, 5 / 8)


def test_curriculum_follows_section_4_2_2(context):
    loss = build_loss(DEFAULTS | {"loss": "token_weighted", "curriculum_rate": 2e-5}, context)
    with torch.no_grad():
        loss.log_lambda.copy_(torch.tensor([1.0, 2.0, 5.0]).log())
    assert shares(loss, 0) == approx(1 / 6, 0, 5 / 6)
    decay = math.exp(-2e-5 * 40_000)
    scaled = [decay * 1, (1 - decay) * 2, decay * 5]
    assert shares(loss, 40_000) == approx(*(value / sum(scaled) for value in scaled))
    assert shares(loss, 10**9) == approx(0, 1, 0)
    early_share = 2 * 2e-5 / (6 + 2e-5 * (2 - 6))  # t = 1: the smallest step is not rounded away
    assert shares(loss, 1)[1] == pytest.approx(early_share, rel=1e-4)


@pytest.mark.parametrize("name", MIXTURES)
def test_the_loss_is_the_mixture_of_three_objectives(name):
    """Against sums written out per objective, with token weights of their own computation."""
    context = random_context(30, [4, 4, 4])
    loss = build_loss(DEFAULTS | {"loss": name}, context)
    labels = context.tokens[torch.randint(1, 31, (10,))]
    logits = torch.randn(10, 3, context.vocab_size)
    alpha = shares(loss, 30_000)

    nll = nll_table(logits, labels)
    frequency = loss.frequency_weights[labels]
    frequency = 3 * frequency / frequency.sum(1, keepdim=True)
    objectives = [(nll * loss.front_greater_weights).mean(), (nll * frequency).mean(), nll.mean()]
    expected = sum(a * objective for a, objective in zip(alpha, objectives, strict=True))
    torch.testing.assert_close(loss(logits, labels), expected)


def test_exact_form_scales_the_logits(context, batch):
    logits, labels = batch
    loss = build_loss(DEFAULTS | {"loss": "token_weighted", "scaled_logits": True}, context)
    alpha = shares(loss, 30_000)
    frequency = loss.frequency_weights[labels]
    frequency = 2 * frequency / frequency.sum(1, keepdim=True)
    weights = [loss.front_greater_weights, frequency, torch.ones(2)]
    expected = sum(
        (nll_table(a * logits, labels) * weight).mean()
        for a, weight in zip(alpha, weights, strict=True)
    )
    torch.testing.assert_close(loss(logits, labels), expected)


def test_exact_and_approximate_form_agree_in_the_limit(context, batch):
    """t -> infinity: one share is 1, the others cost log(vocab_size) per unit of weight."""
    logits, labels = batch
    values = {}
    for exact in (True, False):
        loss = build_loss(DEFAULTS | {"loss": "token_weighted", "scaled_logits": exact}, context)
        loss.step.fill_(10**9)
        values[exact] = loss(logits, labels)
    torch.testing.assert_close(values[True], values[False] + 2 * math.log(logits.shape[-1]))


@pytest.mark.parametrize("scaled_logits", [False, True])
@pytest.mark.parametrize("step", [0, 1, 50_000])
def test_gradients_reach_lambda(context, batch, scaled_logits, step):
    loss = build_loss(
        DEFAULTS | {"loss": "token_weighted", "scaled_logits": scaled_logits}, context
    )
    loss.step.fill_(step)
    loss(*batch).backward()
    gradient = loss.log_lambda.grad
    assert torch.isfinite(gradient).all()
    assert gradient[0] != 0 and gradient[2] != 0
    assert (gradient[1] == 0) == (step == 0)  # Frequency is switched off at t = 0
    assert gradient.sum().item() == pytest.approx(0, abs=1e-6)  # only ratios matter


def test_gradient_of_log_lambda_by_finite_differences(context, batch):
    loss = (
        build_loss(DEFAULTS | {"loss": "token_weighted", "scaled_logits": True}, context)
        .double()
        .eval()
    )
    loss.step.fill_(20_000)
    logits, labels = batch

    def value(log_lambda):
        return torch.func.functional_call(loss, {"log_lambda": log_lambda}, (logits, labels))

    # the loss is float32, so the step must be large
    point = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, point, eps=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", MIXTURES)
def test_steps_of_the_optimiser_are_counted_and_resumed(name, context, batch):
    loss = build_loss(DEFAULTS | {"loss": name}, context)
    for _ in range(3):
        loss(*batch), loss(*batch)  # two batches of one step
        loss.on_step_end()
    assert loss.step.item() == 3
    resumed = build_loss(DEFAULTS | {"loss": name}, context)
    resumed.load_state_dict(loss.state_dict())
    assert resumed.step.item() == 3
    assert resumed.objective_weights() == loss.objective_weights()


def test_new_semantic_ids_change_the_weights_and_keep_what_was_learned(context):
    loss = build_loss(DEFAULTS | {"loss": "token_weighted"}, context)
    loss.step += 7
    with torch.no_grad():
        loss.log_lambda += 1
    swapped = LossContext(
        tokens=torch.tensor([[0, 0], [1, 3], [2, 3], [1, 4], [2, 4]]),
        codebook_sizes=[2, 2],
        item_embeddings=context.item_embeddings,
        target_counts=context.target_counts,
    )
    loss.set_context(swapped)
    fresh = build_loss(DEFAULTS | {"loss": "token_weighted"}, swapped)
    assert torch.equal(loss.front_greater_weights, fresh.front_greater_weights)
    assert torch.equal(loss.frequency_weights, fresh.frequency_weights)
    assert loss.step.item() == 7 and (loss.log_lambda == 1).all()


@pytest.mark.parametrize("name", MIXTURES)
def test_a_model_restored_without_its_data_gets_what_was_learned(name, context):
    loss = build_loss(DEFAULTS | {"loss": name}, context)
    loss.step += 7
    no_data = LossContext(context.tokens, [2, 2], None, torch.zeros(5, dtype=torch.long))
    restored = build_loss(DEFAULTS | {"loss": name}, no_data)
    restored.load_state_dict(loss.state_dict())
    assert restored.objective_weights() == loss.objective_weights()


@pytest.mark.parametrize("name", MIXTURES)
def test_missing_embeddings_name_the_keys(name, context):
    without = LossContext(context.tokens, [2, 2], None, context.target_counts)
    with pytest.raises(InputError, match="item_embedding_file.*item_text_fields"):
        build_loss(DEFAULTS | {"loss": name}, without)
