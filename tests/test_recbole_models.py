"""RecBole models train, save, reload in a fresh model and evaluate the same, on messy data."""

import pytest
import torch

from recbole_genrec.runs.checkpoint import load_checkpoint
from tests.small import LOAD_ALL, new_trainer, prepare, toy_config, write_toy

SMALL = {"n_layers": 1, "hidden_size": 16, "inner_size": 16, "embedding_size": 16}
FEATURES = {"load_col": LOAD_ALL, "selected_features": ["title"]}
MODELS = {
    "SASRec": SMALL,
    "BERT4Rec": {**SMALL, "transform": "mask_itemseq"},
    "GRU4Rec": SMALL,
    "Caser": SMALL,
    "HGN": SMALL,
    "NARM": SMALL,
    "FDSA": {**SMALL, **FEATURES, "selected_features": ["title", "brand"]},
    "BPR": SMALL,
    "LightGCN": SMALL,
    "Pop": {},
    "ItemKNN": {"k": 5},
    "SASRecF": {
        **SMALL,
        **FEATURES,
        "selected_features": ["title", "brand", "price"],
        "numerical_features": ["price"],
    },
    "DIEN": {
        **SMALL,
        **FEATURES,
        "mlp_hidden_size": [8],
        "metrics": ["AUC"],
        "valid_metric": "AUC",
    },
    "FEARec": {**SMALL, "n_layers": 2},
    "LightSANs": {**SMALL, "k_interests": 2},
    "BSARec": SMALL,  # ours, on RecBole's SASRec
    "BSARecRepeatBias": SMALL,
    "FPMC": SMALL,
    "RepeatNet": {**SMALL, "joint_train": False},
    "NGCF": {"hidden_size_list": [8], "embedding_size": 8},
    "MultiVAE": {"mlp_hidden_size": [8], "latent_dimension": 4},
    "EASE": {},
    "SimpleX": SMALL,
}


@pytest.fixture(autouse=True)
def _work_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # RecBole writes log_tensorboard here


@pytest.mark.parametrize("model", MODELS)
def test_model_trains_saves_reloads_and_evaluates(model, tmp_path):
    run = prepare(toy_config(model, write_toy(tmp_path), **MODELS[model]))
    trainer = new_trainer(run)

    score, valid_result = trainer.fit(run.train, run.valid)
    test_result = trainer.evaluate(run.test)

    metric = run.config["valid_metric"].lower()
    assert score == valid_result[metric] == trainer.valid_results[0][metric]
    assert all(type(value) is float and 0 <= value <= 1 for value in test_result.values())
    fresh = new_trainer(run)
    assert fresh.evaluate(run.test, model_file=trainer.saved_model_file) == test_result
    if metric == "ndcg@5":
        assert torch.equal(fresh.recommended_items, trainer.recommended_items)
    torch.load(trainer.saved_model_file, weights_only=True)


def test_s3rec_pretrains_resumes_and_finetunes(tmp_path):
    settings = {
        **SMALL,
        **FEATURES,
        "item_attribute": "title",
        "pretrain_epochs": 3,
        "save_step": 2,
    }
    data_path = write_toy(tmp_path)
    pretraining = prepare(toy_config("S3Rec", data_path, train_stage="pretrain", **settings))
    trainer = new_trainer(pretraining)
    trainer.fit(pretraining.train)
    saved = tmp_path / "saved" / "S3Rec-toy-3.pth"  # the last epoch, which save_step does not hit
    assert load_checkpoint(saved)["epoch"] == 2

    resumed = new_trainer(pretraining)
    resumed.resume_checkpoint(tmp_path / "saved" / "S3Rec-toy-2.pth")
    assert resumed.start_epoch == 2

    finetuning = prepare(
        toy_config(
            "S3Rec", data_path, train_stage="finetune", pre_model_path=str(saved), **settings
        )
    )
    trainer = new_trainer(finetuning)
    weights = trainer.model.state_dict()
    assert torch.equal(
        weights["item_embedding.weight"],
        load_checkpoint(saved)["state_dict"]["item_embedding.weight"],
    )
    trainer.fit(finetuning.train, finetuning.valid)
    assert trainer.evaluate(finetuning.test)["ndcg@5"] >= 0
