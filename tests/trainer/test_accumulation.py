"""Several batches in one optimizer step give what one batch as large as all of them gives."""

import pytest
import torch

from recbole_genrec.errors import InputError
from tests.small import new_trainer, write_toy
from tests.trainer.test_resume import prepared

EXACT = {"dropout_rate": 0.0, "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0}
SCHEDULE = {"lr_scheduler": "linear", "warmup_ratio": 0.2, "clip_grad_norm": {"max_norm": 0.1}}
CASES = {  # batches of 4 histories hold unequal numbers of targets; the last step is not full
    "SASRec": {"loss_type": "CE"},
    "TIGERTokenWeighted": {"history_attention": "causal", "curriculum_rate": 0.1},
}


@pytest.mark.parametrize("model", CASES)
def test_small_batches_train_as_a_large_one(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data_path = write_toy(tmp_path, missing=False)

    def trained(batch_size, steps):
        sizes = {"train_batch_size": batch_size, "gradient_accumulation_steps": steps}
        settings = {**EXACT, **SCHEDULE, **CASES[model], **sizes, "epochs": 2}
        run = prepared(model, data_path, **settings)
        trainer = new_trainer(run)
        trainer.fit(run.train, saved=False)
        return trainer

    large, small = trained(12, 1), trained(4, 3)
    assert small.step == large.step
    assert small.state.part_steps == large.state.part_steps == {"recommender": large.step}
    losses = list(large.train_loss_dict.values())
    assert list(small.train_loss_dict.values()) == pytest.approx(losses, rel=1e-5)
    for name, weight in large.model.state_dict().items():
        found = small.model.state_dict()[name]
        torch.testing.assert_close(found, weight, rtol=0, atol=1e-5, msg=name)


def test_a_model_with_its_own_way_of_training_says_no(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = prepared("RecVAE", write_toy(tmp_path, missing=False), gradient_accumulation_steps=2)
    with pytest.raises(InputError, match="should be 1 for RecVAE, .* found \\[2\\]"):
        new_trainer(run)
