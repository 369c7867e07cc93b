"""Names to classes."""

import importlib
import sys

import pytest
import recbole.trainer
import torch
from recbole.utils import ModelType

from recbole_genrec.errors import InputError
from recbole_genrec.registry import MODELS, TRAINERS, get_model, get_trainer, model_names
from recbole_genrec.trainer import GenRecTrainer
from recbole_genrec.trainer.repaired import GenRecPretrainTrainer

NEED_EXTRAS = {"lightgbm", "xgboost"}


def test_every_model_resolves_to_a_class_of_its_name():
    for name in model_names() - NEED_EXTRAS:
        model = get_model(name)
        assert model.__name__ == name
        trainer = get_trainer(model.type, name)
        assert issubclass(trainer, GenRecTrainer)
    assert set(MODELS) >= {"TIGER"} and set(TRAINERS) <= set(MODELS)


def test_hyphens_do_not_matter():
    assert get_model("TIGER-TokenWeighted") is get_model("TIGERTokenWeighted")


@pytest.mark.parametrize("name", ["NoSuchModel", "sasrec", "general_recommender", ""])
def test_unknown_models_are_refused(name):
    with pytest.raises(InputError, match="there is no model named"):
        get_model(name)


def test_resolving_a_model_leaves_no_anomaly_mode():
    """Importing SINE turns it on, which halves the speed of training."""
    sine = importlib.import_module("recbole.model.sequential_recommender.sine")
    importlib.reload(sine)
    assert torch.is_anomaly_enabled()
    get_model("SASRec")
    assert not torch.is_anomaly_enabled()


def test_trainers_keep_what_is_special_about_them():
    assert get_trainer(ModelType.SEQUENTIAL, "SASRec") is GenRecTrainer
    traditional = get_trainer(ModelType.TRADITIONAL, "Pop")
    assert issubclass(traditional, (GenRecTrainer, recbole.trainer.TraditionalTrainer))
    order = [base.__name__ for base in get_trainer(ModelType.KNOWLEDGE, "CKE").__mro__]
    ours = ["GenRecTrainer", "ResumableTrainer", "CheckpointingTrainer"]
    assert order[1:6] == ["KGTrainer", *ours, "Trainer"]
    s3rec = get_trainer(ModelType.SEQUENTIAL, "S3Rec")
    assert (
        issubclass(s3rec, GenRecPretrainTrainer) and s3rec.fit is recbole.trainer.S3RecTrainer.fit
    )


def test_ray_is_never_needed():
    for module in ("recbole_genrec.quick_start", "recbole_genrec.cli"):
        importlib.import_module(module)
    assert "recbole.quick_start" not in sys.modules and "ray" not in sys.modules
