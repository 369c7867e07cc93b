"""A data set has one length of histories for all models, so that rows of a table see the same."""

import pytest
from recbole.model.sequential_recommender import SASRec
from recbole.utils import InputType

from recbole_genrec.config import Config
from recbole_genrec.config.data_settings import replaced_history_length
from recbole_genrec.config.yaml_files import properties_dir, read_yaml
from recbole_genrec.registry import register_model
from recbole_genrec.stages.collaborative import teacher_config

DATASETS = sorted(path.stem for path in (properties_dir() / "dataset").glob("*.yaml"))
RECIPES = sorted((properties_dir() / "recipe").glob("*.yaml"))
KEY = "MAX_ITEM_LIST_LENGTH"


@pytest.mark.parametrize("dataset", DATASETS)
def test_all_models_see_as_much_of_a_history(dataset, tmp_path):
    length = read_yaml(properties_dir() / "dataset" / f"{dataset}.yaml")[KEY]
    assert length == (50 if dataset == "ml-100k" else 20)
    for model in ("SASRec", "GRU4Rec", "TIGER", "TIGERTokenWeighted", "UniGRec"):
        config = Config(model, dataset)
        assert config[KEY] == length, model
    assert teacher_config(config, tmp_path)[KEY] == length  # of UniGRec


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_has_the_length_of_its_paper(file):
    other = {"etegrec": 50, "etegrec_released": 50, "eager_released": 19, "rpg_released": 50}
    assert Config(None, "ml-100k", [str(file)])[KEY] == other.get(file.stem, 20)


class LongSASRec(SASRec):
    input_type = InputType.POINTWISE


def test_the_log_says_which_length_a_data_set_replaces(tmp_path):
    file = tmp_path / "LongSASRec.yaml"
    file.write_text(f"{KEY}: 80  # (int) As in its paper.\n")
    register_model(LongSASRec, properties=file)
    said = replaced_history_length(Config("LongSASRec", "ml-100k"))
    assert said.startswith("Histories hold 50 items") and "in place of the 80 of LongSASRec" in said
    settings = {KEY: 30}
    assert replaced_history_length(Config("LongSASRec", "ml-100k", config_dict=settings)) is None
    file.write_text(f"{KEY}: 50  # (int) As in its paper.\n")
    assert replaced_history_length(Config("LongSASRec", "ml-100k")) is None
    assert replaced_history_length(Config("SASRec", "ml-100k")) is None
