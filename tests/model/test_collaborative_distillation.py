"""The distillation into the tokenizer within UniGRec: what lasts, and what it says of itself."""

import logging

import pytest
import torch

from .unigrec_cases import CONFIG, SIZES, histories, unigrec


def trained(form: str, steps: int = 150):
    """A model after some steps on the distillation into the tokenizer alone, and its loss."""
    model = unigrec(
        tokenizer_distillation_form=form,
        tokenizer_distillation_temperature=0.05,
        tokenizer_distillation_weight=1.0,
        recommender_distillation_weight=0,
    ).train()
    model.on_epoch_start(CONFIG["distillation_warmup_epochs"])
    rows = model.item_embeddings[1:]
    model.tokenizer._start_codebooks(rows, torch.Generator())  # on the items, so that all are used
    rates = {"recommender": 0.01, "tokenizer": 1e-5, "distillation": 0.02}
    optimizer = torch.optim.AdamW(
        [{"params": model.parts()[part], "lr": rate} for part, rate in rates.items()]
    )
    interaction = histories()
    for _ in range(steps):
        interaction["item_id"] = torch.randint(1, 41, (4,))
        loss = model.calculate_loss(interaction)[2]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, loss.item()


@pytest.mark.parametrize(("form", "keeps_its_codes"), [("aligned", True), ("literal", False)])
def test_a_fixed_projection_keeps_the_teacher_from_collapsing(form, keeps_its_codes):
    model, loss = trained(form)
    codes = model.distillation.teacher_codes(model.tokenizer)
    used = [len(level.unique()) for level in codes.unbind(1)]
    assert codes.shape == (40, len(SIZES))
    assert (min(u / k for u, k in zip(used, SIZES, strict=True)) > 0.5) == keeps_its_codes, used
    assert loss > 0


def test_the_log_has_the_loss_before_its_weight_and_the_codes_of_the_teacher(caplog):
    caplog.set_level(logging.INFO)
    model = unigrec().train()
    model.on_epoch_start(1)
    losses = [model.calculate_loss(histories())[2].item() / 0.01 for _ in range(3)]
    model.distillation.report(1, model.tokenizer)
    codes = model.distillation.teacher_codes(model.tokenizer)
    used = [len(level.unique()) for level in codes.unbind(1)]
    assert f"in epoch 1: {sum(losses) / 3:.4g} before its weight" in caplog.text
    assert f"use {used} codes of {SIZES}" in caplog.text
    caplog.clear()
    model.distillation.report(2, model.tokenizer)  # nothing since
    assert not caplog.text


@pytest.mark.parametrize("form", ["aligned", "released"])
def test_a_checkpoint_brings_the_fixed_layers_to_the_last_bit(form):
    first = unigrec(tokenizer_distillation_form=form)
    second = unigrec(tokenizer_distillation_form=form)  # of other items and another teacher
    weights = first.distillation.tokenizer_side.teacher_projection.weight
    assert not torch.equal(weights, second.distillation.tokenizer_side.teacher_projection.weight)
    second.load_state_dict(first.state_dict())
    loaded = second.distillation.tokenizer_side.state_dict()
    for name, value in first.distillation.tokenizer_side.state_dict().items():
        assert torch.equal(value, loaded[name]), name
    trained = {id(p) for parameters in second.parts().values() for p in parameters}
    fixed = second.distillation.tokenizer_side.teacher_projection
    assert not trained & {id(tensor) for tensor in fixed.buffers()}
