"""The recipes for Beauty on two cores give all models the same chances."""

import re
import shlex

import pytest

from recbole_genrec.config import Config
from recbole_genrec.config.yaml_files import properties_dir, read_yaml
from recbole_genrec.model.hooks import class_hooks
from recbole_genrec.tune.space import read_space
from tests.documents import REPOSITORY, commands, page

ROOT = properties_dir() / "recipe"
RECIPES = {
    file.stem.removeprefix("beauty_"): read_yaml(file) for file in sorted(ROOT.glob("beauty_*"))
}
TOKENIZER = {"tokenizer", "codebook_sizes", "collision"}


def configured(model, *recipes):
    config = Config(model, "amazon-beauty", [str(ROOT / f"{recipe}.yaml") for recipe in recipes])
    class_hooks(config.model_class).check_config(config)
    return config


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_valid_and_all_end_select_and_see_alike(name):
    config = configured(None, f"beauty_{name}")
    epochs = 20 if config["model"] == "SemanticSASRec" else 40
    assert (config["epochs"], config["stopping_step"], config["valid_users"]) == (epochs, 8, 5000)
    assert config["MAX_ITEM_LIST_LENGTH"] == 20
    assert config["lr_scheduler"] == "cosine"


def test_codes_of_texts_and_item_vectors_change_these_alone():
    both = dict(RECIPES["tiger_both"])
    assert both.pop("id_embeddings") == "both"
    teacher = {key: both.pop(key) for key in list(both) if key.startswith("teacher_")}
    assert both == RECIPES["tiger"]
    assert teacher == {k: v for k, v in RECIPES["unigrec"].items() if k.startswith("teacher_")}


def test_token_weighting_changes_the_loss_alone():
    weighted = dict(RECIPES["tiger_token_weighted"])
    own = {key: weighted.pop(key) for key in ("model", "loss", "curriculum_rate")}
    assert own["model"] == "TIGERTokenWeighted"
    assert weighted == {key: value for key, value in RECIPES["tiger"].items() if key != "model"}


@pytest.mark.parametrize("row", range(7))
def test_every_row_of_unigrec_has_the_t5_and_the_schedule_of_tiger(row):
    files = ("beauty_unigrec", f"unigrec_m{row}")
    config = configured(*(("TIGER", *files[::-1]) if row == 0 else (None, *files)))
    assert config["model"] == ("TIGER" if row == 0 else "UniGRec")
    shared = RECIPES["tiger"].keys() - TOKENIZER - {"model"}
    assert {key: config[key] for key in shared} == {key: RECIPES["tiger"][key] for key in shared}
    assert config["codebook_sizes"] == [256, 256, 256]


def test_the_teacher_of_unigrec_is_a_sasrec_of_the_table():
    sasrec, unigrec = configured(None, "beauty_sasrec_one_pass"), configured(None, "beauty_unigrec")
    for key in ("model", "hidden_size", "train_batch_size", "epochs", "stopping_step", "loss_type"):
        assert unigrec[f"teacher_{key}"] == sasrec[key]


def test_the_page_on_tuning_has_commands_and_spaces_that_work(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    models = []
    for command in commands(page("tuning")):
        given = dict(word[2:].split("=", 1) for word in shlex.split(command) if "=" in word)
        if "recipe/beauty_" not in command:
            continue
        files = given.pop("config_files").split()
        for name in ("params_file", "algo", "max_evals"):
            given.pop(name, None)
        config = Config(given.pop("model", None), given.pop("dataset"), files, given)
        class_hooks(config.model_class).check_config(config)
        models.append(config["model"])
    assert models == ["TIGER", "SASRec", *["TIGER"] * 5]
    spaces = re.findall(r"^```\n((?:\w+ \w+ .*\n)+)```$", page("tuning"), flags=re.MULTILINE)
    for text, recipe in zip(spaces, ("tiger", "sasrec"), strict=True):
        (tmp_path / "space.hyper").write_text(text)
        for parameter in read_space(tmp_path / "space.hyper"):
            for value in parameter.examples():
                settings = {parameter.name: value}
                Config(None, "amazon-beauty", [str(ROOT / f"beauty_{recipe}.yaml")], settings)
