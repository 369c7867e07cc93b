"""A model of another package: its settings stand beside it, and are checked like ours."""

import importlib
import sys

import pytest
import torch

from recbole_genrec.config import Config
from recbole_genrec.errors import InputError
from recbole_genrec.registry import build_model, register_model, registered_models

MODEL = """
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType

class {name}(SequentialRecommender):
    input_type = InputType.POINTWISE
"""
SETTINGS = """\
# A recurrent network
{name}_width: 32        # (int >= 1) Units of the cell.
{name}_cell: gru        # (str in {{gru, lstm}}) Kind of the cell.
{name}_share: ~         # (float in [0, 1)) Share of anything.
learning_rate: 0.01
d_model: wide           # (str) A key of ours that means something else here.
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """`outside(name, **files)`: a model class in a module of its own, with files beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()

    def write(name, settings=SETTINGS, place=".", **files):
        folder = tmp_path / name
        (folder / place).mkdir(parents=True)
        module = f"package_of_{name.lower()}"
        (folder / f"{module}.py").write_text(MODEL.format(name=name))
        if settings is not None:
            text = settings.format(name=name.lower())
            (folder / place / f"{name}.yaml").write_text(text)
        for stem, text in files.items():
            (folder / place / f"{stem.replace('_on_', '-')}.yaml").write_text(text)
        monkeypatch.syspath_prepend(folder)
        yielded.append(module)
        return getattr(importlib.import_module(module), name)

    yielded = []
    yield write
    for module in yielded:
        sys.modules.pop(module)


def config(model, **settings):
    return Config(model, "ml-100k", None, settings)


def here(model, **settings):
    """The configuration for a data set that lies in the current folder."""
    return Config(model, "here", None, {"data_path": ".", **settings})


@pytest.mark.parametrize("place", [".", "properties"])
def test_its_file_lies_beside_its_module(outside, place):
    name = "Beside" if place == "." else "Below"
    made = config(outside(name, place=place))
    assert made["model"] == name
    assert (made[f"{name.lower()}_width"], made["learning_rate"]) == (32, 0.01)
    assert made["d_model"] == "wide"
    assert "codebook_sizes" not in made
    assert config(name)[f"{name.lower()}_width"] == 32  # known by its name from now on


def test_or_elsewhere_where_it_was_registered_so(outside, tmp_path):
    cls = outside("Elsewhere")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "any_name.yaml").write_text("elsewhere_width: 7  # (int) Units.")
    (tmp_path / "other" / "Elsewhere-ml-100k.yaml").write_text("elsewhere_width: 8")
    register_model(cls, tmp_path / "other" / "any_name.yaml")
    made = config(cls)
    assert made["elsewhere_width"] == 8 and "elsewhere_cell" not in made
    assert Config("Elsewhere", "ml-1m")["elsewhere_width"] == 7


def test_a_model_without_a_file_has_no_settings_of_its_own(outside):
    assert config(outside("Bare", settings=None))["learning_rate"] == 0.001


def test_one_that_cannot_be_built_says_where_its_settings_were_looked_for(outside):
    cls = outside("Lost", settings=None)
    cls.__init__ = lambda self, config, dataset: torch.nn.Linear(config["lost_width"], 3)
    with pytest.raises(InputError, match=r"no Lost\.yaml beside its module \[package_of_lost\]"):
        build_model(config(cls), None)
    there = outside("There")
    there.__init__ = lambda self, config, dataset: torch.nn.Linear(config["there_wdth"], 3)
    with pytest.raises(TypeError):  # with its traceback, as it is a mistake in the class
        build_model(config(there), None)


def test_its_file_for_a_data_set_comes_last(outside):
    cls = outside("Sized", Sized_on_here="sized_width: 4")
    assert config(cls)["sized_width"] == 32
    assert here(cls)["sized_width"] == 4
    assert here(cls, sized_width=5)["sized_width"] == 5


def test_models_that_inherit_get_the_files_of_both(outside):
    parent = outside("Parent")
    child = type("Heir", (parent,), {"__module__": parent.__module__})
    assert config(child)["parent_width"] == 32


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("width", 0, "strict_width should be an integer >= 1, found [0]"),
        ("width", "a", "strict_width should be an integer >= 1, found [a]"),
        ("width", None, "strict_width should be an integer >= 1, found [None]"),
        ("cell", "gr", "strict_cell should be one of gru, lstm, found [gr]; did you mean [gru]?"),
        ("share", 1, "strict_share should be a number in [0, 1) or None, found [1]"),
        (
            "wdth",
            3,
            "unknown key [strict_wdth]; did you mean [strict_width]? "
            "(strict_config: False lets unknown keys pass)",
        ),
    ],
)
def test_its_settings_are_checked_like_ours(outside, key, value, message):
    cls = outside("Strict")
    with pytest.raises(InputError) as error:
        config(cls, **{f"strict_{key}": value})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        (
            "WrongA",
            "wronga_size: 0  # (int >= 1) Size.",
            "wronga_size should be an integer >= 1",
        ),
        (
            "WrongB",
            "learning_rate: -1",
            r"learning_rate should be a finite number >= 0",
        ),
        (
            "WrongC",
            "learning_rat: 0.1",
            r"unknown key \[learning_rat\]; .* \[learning_rate",
        ),
        (
            "WrongD",
            "wrongd_size: 1  # (number) S.",
            r"wrongd_size: expected a type .* \[number\]",
        ),
        ("WrongE", "loss: rnk", r"loss should be one of cross_entropy, .* did you mean \[rank\]"),
        ("WrongF", "wrongf_size: [1", "is not valid YAML"),
    ],
)
def test_what_its_file_gets_wrong_is_named_with_the_file(outside, name, line, message):
    cls = outside(name, settings=line)
    with pytest.raises(InputError, match=rf"{name}\.yaml.* {message}"):
        config(cls)


def test_a_file_for_a_data_set_declares_no_keys(outside):
    line = "undeclared_widht: 4  # (int) A slip."
    cls = outside("Undeclared", Undeclared_on_here=line)
    with pytest.raises(InputError, match=r"key \[undeclared_widht\].*\[undeclared_width\]"):
        here(cls)


def test_keys_of_others_pass_as_in_a_comparison(outside):
    outside_class = outside("Compared")
    register_model(outside_class)
    assert outside_class in registered_models()
    assert config("SASRec", compared_width=5)["compared_width"] == 5
    with pytest.raises(InputError, match=r"unknown key \[compared_wdth\]; .* \[compared_width\]"):
        config("SASRec", compared_wdth=5)


def test_a_model_of_ours_does_not_take_files_beside_the_user(outside, monkeypatch, tmp_path):
    (tmp_path / "TIGER.yaml").write_text("d_model: 3")
    monkeypatch.chdir(tmp_path)
    assert config("TIGER")["d_model"] != 3
