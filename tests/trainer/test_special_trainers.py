"""RecBole's special trainers, in what they ask of ours and a run asks of them."""

import pytest
from recbole.trainer import XGBoostTrainer

from recbole_genrec.errors import InputError
from recbole_genrec.runs.outcome import FitResult
from recbole_genrec.trainer import repaired_trainer
from recbole_genrec.trainer.trees import TreeTrainer
from tests.small import new_trainer, prepare, toy_config

RECVAE = {"hidden_dimension": 8, "latent_dimension": 8, "epochs": 2}


def test_trainers_of_trees_answer_what_a_run_asks():
    trainer_class = repaired_trainer(XGBoostTrainer)
    assert trainer_class.__mro__[1:3] == (TreeTrainer, XGBoostTrainer)
    assert not trainer_class.shares_batches
    trainer = object.__new__(trainer_class)  # without XGBoost
    trainer.config = {"model": "XGBoost"}
    assert trainer.outcome() == FitResult()
    assert trainer.last_model_file is trainer.recommended_items is None
    trainer.resume("auto")
    with pytest.raises(InputError, match=r"resume should be .* XGBoost, .* at once, found \[a.pth"):
        trainer.resume("a.pth")


def test_a_trainer_with_optimizers_of_its_own_keeps_them_and_refuses_a_schedule(data_path):
    run = prepare(toy_config("RecVAE", data_path, **RECVAE))
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    assert list(trainer.outcome().train_losses) == [0, 1]
    assert trainer.optimizer_encoder.state and trainer.optimizer_decoder.state
    for wrong, found in (
        ({"lr_scheduler": "linear"}, "linear"),
        ({"warmup_ratio": 0.1}, "warm-up 10%"),
    ):
        run = prepare(toy_config("RecVAE", data_path, **RECVAE, **wrong))
        with pytest.raises(
            InputError, match=rf"lr_scheduler should be ~, .* own, found \[.*{found}"
        ):
            new_trainer(run).fit(run.train, run.valid)
