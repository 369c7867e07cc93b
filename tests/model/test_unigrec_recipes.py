"""The recipes of the UniGRec paper differ in what a row or a curve is about, no more."""

import pytest

from recbole_genrec.config import Config
from recbole_genrec.config.yaml_files import properties_dir, read_yaml

ROOT = properties_dir()


def without_length(recipe: dict) -> dict:
    """The recipe without the length of histories of the paper, which all have."""
    assert recipe.pop("MAX_ITEM_LIST_LENGTH") == 20
    return recipe


RECIPES = {
    file.stem.removeprefix("unigrec_"): without_length(read_yaml(file))
    for file in (ROOT / "recipe").glob("unigrec_*.yaml")
}
UNIGREC = read_yaml(ROOT / "tokenizer" / "SoftRQVAE.yaml") | read_yaml(
    ROOT / "model" / "UniGRec.yaml"
)
JOINT = "joint_tokenizer_learning_rate"
UNIFORMITY = "tokenizer_uniformity_weight"
SIDES = "tokenizer_distillation_weight", "recommender_distillation_weight"


@pytest.mark.parametrize(
    ("row", "left_out"),
    [
        ("m1", {JOINT, UNIFORMITY, *SIDES}),
        ("m2", {UNIFORMITY, *SIDES}),
        ("m3", {*SIDES}),
        ("m4", {SIDES[1]}),
        ("m5", {SIDES[0]}),
        ("m6", set()),
    ],
)
def test_a_row_of_table_3_leaves_out_what_it_says(row, left_out):
    assert RECIPES[row] == {"model": "UniGRec", **dict.fromkeys(left_out, 0)}
    assert all(UNIGREC[key] > 0 for key in left_out)


def test_m0_is_tiger_with_the_t5_and_the_schedule_of_unigrec():
    tiger = read_yaml(ROOT / "model" / "TIGER.yaml") | RECIPES["m0"]
    own = {"model", "tokenizer", "tokenizer_hidden_sizes", "tokenizer_loss_reduction"}
    shared = (set(tiger) & set(UNIGREC)) - own
    assert {key: tiger[key] for key in shared} == {key: UNIGREC[key] for key in shared}
    assert {"d_ff", "num_layers", "learning_rate", "weight_decay", "codebook_sizes"} <= shared
    assert tiger["tokenizer_hidden_sizes"] == UNIGREC["tokenizer_hidden_sizes"]


def test_the_curves_of_figure_3():
    ends = ("tokenizer_temperature_max", "tokenizer_temperature_min")
    curves = {"high": (0.01, 0.01), "low": (0.001, 0.001), "annealed": (0.01, 0.001)}
    for name, values in curves.items():
        recipe = RECIPES[f"temperature_{name}"]
        assert recipe == {"model": "UniGRec", **dict(zip(ends, values, strict=True))}
    assert tuple(UNIGREC[end] for end in ends) == curves["annealed"]


def test_the_points_of_figure_4():
    points = {n: r for n, r in RECIPES.items() if n.startswith("uniformity_")}
    weights = {float(name.removeprefix("uniformity_")): r for name, r in points.items()}
    assert sorted(weights) == [0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    for weight, recipe in weights.items():
        assert recipe == {"model": "UniGRec", UNIFORMITY: weight}
    assert UNIGREC[UNIFORMITY] == 1e-4


def test_the_released_recipe_has_no_key_of_the_paper():
    changed = {key: value for key, value in RECIPES["released"].items() if key != "model"}
    assert all(UNIGREC[key] != value for key, value in changed.items())
    assert changed[UNIFORMITY] == pytest.approx(UNIGREC[UNIFORMITY] / 3, rel=1e-4)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_valid_configuration(name):
    config = Config(None, "ml-100k", [str(ROOT / "recipe" / f"unigrec_{name}.yaml")])
    assert config["model"] == RECIPES[name]["model"]
    if config["model"] == "UniGRec":
        assert config["append_size"] == 101
