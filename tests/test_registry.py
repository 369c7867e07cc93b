"""Names to classes."""

import importlib
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import recbole.trainer
import torch
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType, ModelType

from recbole_genrec.config import Config
from recbole_genrec.errors import InputError
from recbole_genrec.registry import (
    MODELS,
    get_model,
    model_names,
    portable,
    register_model,
    registered,
)
from recbole_genrec.trainer import GenRecTrainer
from recbole_genrec.trainer.registry import get_trainer
from recbole_genrec.trainer.repaired import GenRecPretrainTrainer

NEED_EXTRAS = {"lightgbm", "xgboost"}


def test_every_model_resolves_to_a_class_of_its_name():
    for name in model_names() - NEED_EXTRAS:
        model = get_model(name)
        assert model.__name__ == name
        trainer = get_trainer(model.type, name)
        assert issubclass(trainer, GenRecTrainer)
    assert set(MODELS) >= {"TIGER"}


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
    ours = ["GenRecTrainer", "EvaluatingTrainer"]
    assert order[1:5] == ["KGTrainer", *ours, "Trainer"]
    s3rec = get_trainer(ModelType.SEQUENTIAL, "S3Rec")
    assert (
        issubclass(s3rec, GenRecPretrainTrainer) and s3rec.fit is recbole.trainer.S3RecTrainer.fit
    )


def test_ray_is_never_needed():
    for module in ("recbole_genrec.quick_start", "recbole_genrec.cli"):
        importlib.import_module(module)
    assert "recbole.quick_start" not in sys.modules and "ray" not in sys.modules


class OutsideModel(SequentialRecommender):
    input_type = InputType.POINTWISE


def test_a_registered_class_is_found_by_name():
    assert register_model(OutsideModel) is OutsideModel
    assert register_model(OutsideModel) is OutsideModel  # twice is once
    assert get_model("OutsideModel") is get_model("Outside-Model") is OutsideModel
    assert get_model(OutsideModel) is OutsideModel
    assert "OutsideModel" in model_names()
    with pytest.raises(InputError, match=r"no model named \[OutsideModl\].* mean \[OutsideModel\]"):
        get_model("OutsideModl")


def test_the_decorator_names_a_file(tmp_path):
    file = Path(__file__).parent / "small.py"  # any file beside this module
    cls = register_model(properties="small.py")(OutsideModel)
    assert registered(cls) == (OutsideModel, file)
    register_model(OutsideModel)  # as Config does when the class is given: the file stays
    assert registered(cls).properties == file
    with pytest.raises(
        InputError, match=r"properties of OutsideModel should be a YAML file, found"
    ):
        register_model(OutsideModel, properties=tmp_path / "none.yaml")


def test_a_class_that_is_defined_anew_takes_its_place():
    def defined():
        class Notebook(SequentialRecommender):
            pass

        return Notebook

    first, second = register_model(defined()), register_model(defined())
    assert get_model("Notebook") is second is not first
    assert registered(first) is None


@pytest.mark.parametrize("name", ["TIGER", "Tiger", "SASRec", "OutsideModel", "lightgbm"])
def test_names_that_are_taken_are_refused(name):
    register_model(OutsideModel)
    other = type(name, (SequentialRecommender,), {"__module__": "elsewhere"})
    with pytest.raises(InputError, match=r"name of a model should be one that is free \(.* has it"):
        register_model(other)
    with pytest.raises(InputError, match=f"found .elsewhere:{name}"):
        get_model(other)
    if name == "TIGER":
        assert get_model(name).__module__ == "recbole_genrec.model.tiger"


@pytest.mark.parametrize("found", [int, 3])
def test_only_recommenders_are_models(found):
    with pytest.raises(InputError, match=r"model should be a name, or a class that inherits from"):
        register_model(found)


def test_recboles_class_is_the_model_of_its_name():
    pop = importlib.import_module("recbole.model.general_recommender.pop").Pop
    assert get_model(pop) is get_model("Pop") is not pop  # ours repairs it
    assert registered(get_model("Pop")) is None


def installed(folder: Path, name: str, points: str, **modules: str) -> None:
    """A distribution `name` 1.0 in `folder` with entry points for models."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[recbole_genrec.models]\n{points}\n")
    for module, code in modules.items():
        (folder / f"{module}.py").write_text(code)


CLASS = """
from recbole.model.abstract_recommender import SequentialRecommender
{decorator}
class {name}(SequentialRecommender):
    pass
"""


def test_models_of_installed_packages_are_found(tmp_path, monkeypatch, caplog):
    decorator = "from recbole_genrec.registry import register_model\n@register_model"
    installed(
        tmp_path,
        "some_models",
        "EntryClass = entry_class_models:EntryClass\nmore = entry_module_models",
        entry_class_models=CLASS.format(name="EntryClass", decorator=""),
        entry_module_models=CLASS.format(name="EntryModule", decorator=decorator),
    )
    installed(
        tmp_path,
        "broken_models",
        "Broken = entry_broken_models:Broken\nLost = entry_class_models:Lost\n"
        "TIGER = entry_taken_models:TIGER",
        entry_broken_models="import a_module_that_nobody_has",
        entry_taken_models=CLASS.format(name="TIGER", decorator=""),
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert get_model("EntryModule").__module__ == "entry_module_models"
    assert get_model("EntryClass").__module__ == "entry_class_models"
    assert get_model("TIGER").__module__ == "recbole_genrec.model.tiger"
    with pytest.raises(InputError) as error:
        get_model("Broken")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    for line, point, reason in zip(
        sorted(lines),
        ("Broken = entry_broken_models:Broken", "Lost = entry_class_models:Lost", "TIGER ="),
        ("a_module_that_nobody_has", "has no attribute 'Lost'", "should be one that is free"),
        strict=True,
    ):
        assert f"entry point [{point}" in line and "of broken_models 1.0 cannot be used" in line
        assert reason in line and "\n" not in line
        assert line in str(error.value)


def settings_elsewhere(model) -> tuple[str, int]:
    """What another process makes of what `portable` gives."""
    config = Config(model, "ml-100k")
    return get_model(config["model"]).__qualname__, config["elsewhere_width"]


def test_other_processes_know_a_model_as_it_was_registered(tmp_path, monkeypatch):
    """Its class, also where their imports register nothing, and the file that was named."""
    code = CLASS.format(name="Portable", decorator="").replace("pass", "input_type = 1")
    (tmp_path / "portable_models.py").write_text(code)
    (tmp_path / "some.yaml").write_text("elsewhere_width: 7  # (int >= 1) Units.")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    cls = importlib.import_module("portable_models").Portable
    register_model(cls, properties="some.yaml")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        found = processes.submit(settings_elsewhere, portable(cls)).result()
    assert found == ("Portable", 7)


def test_models_of_ours_are_known_by_their_names():
    assert portable(get_model("TIGER")) == "TIGER"
    assert portable(get_model("SASRec")) == "SASRec"


def test_a_class_that_no_process_can_import_is_refused():
    class Local(SequentialRecommender):
        pass

    register_model(Local)
    with pytest.raises(InputError, match=r"model should be a class in a module.*<locals>.Local\]"):
        portable(Local)
