"""The recipes of the token-weighting paper differ in what a row of its tables is about, no more."""

import pytest

from recbole_genrec.config.layers import properties
from recbole_genrec.config.yaml_files import properties_dir, read_yaml
from recbole_genrec.loss import LOSSES, build_loss

from .conftest import DEFAULTS

FILES = sorted((properties_dir() / "recipe").glob("token_weighting_*.yaml"))
RECIPES = {file.stem.removeprefix("token_weighting_"): read_yaml(file) for file in FILES}
ON_SEMANTIC_IDS = {name: recipe for name, recipe in RECIPES.items() if "loss" in recipe}
IDS = ("tokenizer", "codebook_sizes", "collision")


def test_every_row_has_its_recipe():
    rows = {"tiger", "rank", "pos", "cft", "igd", "ours"}  # Table 3, beside GRU4Rec and SASRec
    rows |= {"front_greater", "frequency", "multi_target"}  # Table 4
    rows |= {"tiger_pq", "ours_pq"}  # Table 5
    rows |= {"frequency_only"}  # Figure 3
    assert set(ON_SEMANTIC_IDS) == rows
    assert set(RECIPES) - rows == {"gru4rec", "sasrec"}
    assert {recipe["loss"] for recipe in ON_SEMANTIC_IDS.values()} == set(LOSSES)


@pytest.mark.parametrize("name", ON_SEMANTIC_IDS)
def test_recipe_gives_its_loss_every_setting(name, context):
    recipe = ON_SEMANTIC_IDS[name]
    defaults = properties(f"loss/{recipe['loss']}")
    assert type(build_loss(defaults | recipe, context)) is LOSSES[recipe["loss"]]
    left_at_default = {"scaled_logits"} | ({"frequency_beta"} if name == "front_greater" else set())
    assert recipe["MAX_ITEM_LIST_LENGTH"] == 20
    assert set(recipe) == {"model", "loss", "MAX_ITEM_LIST_LENGTH", *IDS} | (
        set(defaults) - left_at_default
    )


@pytest.mark.parametrize("name", sorted(set(ON_SEMANTIC_IDS) - {"frequency_only"}))
def test_a_loss_without_a_recipe_has_the_settings_of_its_recipe(name):
    recipe = ON_SEMANTIC_IDS[name]
    defaults = properties(f"loss/{recipe['loss']}")
    assert {key: recipe.get(key, value) for key, value in defaults.items()} == defaults


def test_files_of_losses_agree_where_they_share_a_key():
    for name in LOSSES:
        assert properties(f"loss/{name}").items() <= DEFAULTS.items()


def test_rows_of_a_table_share_their_semantic_ids():
    for name, recipe in ON_SEMANTIC_IDS.items():
        tokenizer = "PQ" if name.endswith("_pq") else "RQVAE"
        assert [recipe[key] for key in IDS] == [tokenizer, [256] * 4, "reassign"]


def test_ours_has_the_settings_of_the_model():
    settings = properties("model/TIGERTokenWeighted")
    for name, recipe in (("ours", RECIPES["ours"]), ("ours_pq", RECIPES["ours_pq"])):
        settings["tokenizer"] = "PQ" if name == "ours_pq" else "RQVAE"
        assert {key: recipe.get(key, settings[key]) for key in settings} == settings
