"""The configuration: where values come from, what they mean, what is refused."""

import importlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import recbole
import torch
from recbole.utils import ModelType, argument_list

import recbole_genrec
from recbole_genrec.config import Config, yaml_files
from recbole_genrec.config.checks import MOST
from recbole_genrec.config.old_keys import OLD_KEYS
from recbole_genrec.config.schema import known_keys
from recbole_genrec.config.yaml_files import YamlLoader, parse_value, properties_dir
from recbole_genrec.errors import InputError


def config(model="SASRec", dataset="ml-100k", files=None, **settings):
    return Config(model, dataset, files, settings)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-2.5E+2", -250.0),
        ("3", 3),
        ("007", "007"),
        (".inf", float("inf")),
        ("true", True),
        ("None", None),
        ("~", None),
        ("[64, 1e-3, None]", [64, 0.001, None]),
        (
            "{'split': {'LS':'valid_only'}, 'order': 'TO'}",
            {"split": {"LS": "valid_only"}, "order": "TO"},
        ),
        ("'5'", "5"),
        ("[5,inf)", "[5,inf)"),
        ("0,1", "0,1"),
        ("2018/5", "2018/5"),
        ("2018-05-01", "2018-05-01"),
        ("1:30", "1:30"),
        ("a: b", "a: b"),
        ("C# #1", "C# #1"),
        ("\t", "\t"),
        (" ", " "),
        ("", ""),
        ("re.x", "re.x"),
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),
    ],
)
def test_values_are_yaml_literals(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_values_of_config_dict_are_parsed_and_the_dict_is_left_alone():
    given = {"learning_rate": "1e-3", "train_neg_sample_args": {"distribution": "uniform"}}
    before = json.dumps(given)
    made = Config("BPR", "ml-100k", config_dict=given)
    assert made["learning_rate"] == 0.001
    assert made["train_neg_sample_args"]["sample_num"] == 1  # completed by RecBole
    assert json.dumps(given) == before


def test_the_command_line_is_not_read(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest", "--epochs=99", "--model=BPR", "--flag"])
    made = config()
    assert made["epochs"] != 99 and made["model"] == "SASRec"


LAYERED = """
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType

from recbole_genrec.model.hooks import ModelHooks

class LayeredBase(ModelHooks, SequentialRecommender):
    input_type, needs_semantic_ids = InputType.POINTWISE, True

class Layered(LayeredBase):
    pass
"""


def test_later_layers_win(tmp_path, monkeypatch):
    """The layers of our folder, and those beside the module of a model from elsewhere."""
    layers = [
        "overall",
        "items",
        "tokenizer/common",
        "tokenizer/RQKMeans",
        "loss/rank",
        "LayeredBase",
        "Layered",
        "dataset/ml-100k",
        "LayeredBase-ml-100k",
        "Layered-ml-100k",
    ]
    known_keys()  # those of the package are read once, and not from here
    ours, theirs = tmp_path / "properties", tmp_path / "theirs"
    for number, layer in enumerate(layers):
        file = (theirs if layer.startswith("Layered") else ours) / f"{layer}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        comment = "  # (str) Made up."
        keys = [f"key{later}: {layer}{comment}" for later in range(number, len(layers) + 2)]
        keys += ["nproc: 1", "offset: 0"] * (layer == "overall")
        keys += ["tokenizer: PQ"] * (layer == "tokenizer/common")
        keys += ["tokenizer: RQKMeans", "loss: RANK"] * (layer == "LayeredBase")
        file.write_text("\n".join(keys))
    (theirs / "layered_models.py").write_text(LAYERED)
    monkeypatch.syspath_prepend(theirs)
    for module in ("layers", "schema"):
        monkeypatch.setattr(f"recbole_genrec.config.{module}.properties_dir", lambda: ours)
    user_file = tmp_path / "mine.yaml"
    user_file.write_text("key10: file\nkey11: file")
    module = importlib.import_module("layered_models")

    made = Config(module.Layered, "ml-100k", [str(user_file)], {"key11": "dict"})

    assert [made[f"key{n}"] for n in range(12)] == [*layers, "file", "dict"]
    assert made["tokenizer"] == "RQKMeans"
    base = Config(module.LayeredBase, "ml-100k")
    assert base["key6"] == "LayeredBase" and base["key9"] == "LayeredBase-ml-100k"


def test_ours_are_above_recboles_defaults_and_below_the_user():
    tiger = Config("TIGER", "ml-100k")
    assert tiger["MODEL_TYPE"] == ModelType.SEQUENTIAL
    assert tiger["eval_args"] == {
        "split": {"LS": "valid_and_test"},
        "order": "TO",
        "group_by": "user",
        "mode": {"valid": "full", "test": "full"},
    }
    assert tiger["repeatable"] is True
    assert tiger["learner"] == "adamw"  # RecBole: adam
    assert tiger["tokenizer"] and tiger["codebook_sizes"]
    assert Config("TIGER", "ml-100k", config_dict={"epochs": 3})["epochs"] == 3
    assert "codebook_sizes" not in config("SASRec")


def test_both_spellings_name_one_model():
    one, other = config("TIGER-TokenWeighted"), config("TIGERTokenWeighted")
    assert one["model"] == other["model"] == "TIGERTokenWeighted"
    assert one["d_model"] == Config("TIGER", "ml-100k")["d_model"]  # from TIGER.yaml


def test_partial_eval_args_complete_the_defaults(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("eval_args: {mode: uni100}")
    made = config("SASRec", files=[str(file)], eval_args={"split": {"LS": "valid_only"}})
    assert made["eval_args"] == {
        "split": {"LS": "valid_only"},
        "order": "TO",
        "group_by": "user",
        "mode": {"valid": "uni100", "test": "uni100"},
    }


def test_cross_entropy_needs_no_word_about_negatives():
    assert config("SASRec")["train_neg_sample_args"]["distribution"] == "none"
    assert config("SASRec", loss_type="BPR")["train_neg_sample_args"]["distribution"] == "uniform"
    with pytest.raises(InputError, match="should be None when the loss_type is CE"):
        config("SASRec", train_neg_sample_args={"distribution": "uniform"})
    with pytest.raises(InputError, match=r"sample_num of train_neg_sample_args .* found \[0\]"):
        config("BPR", train_neg_sample_args={"distribution": "uniform", "sample_num": 0})


@pytest.mark.parametrize("model", ["FM", "DIN", "KGAT", "CDAE", "Pop"])
def test_models_of_every_kind_have_a_valid_configuration(model):
    made = config(model)
    assert made["valid_metric"] == ("AUC" if model in ("FM", "DIN") else "NDCG@10")


def test_needed_columns_are_loaded_by_default(tmp_path):
    (tmp_path / "own").mkdir()
    settings = {"data_path": str(tmp_path), "USER_ID_FIELD": "who", "TIME_FIELD": "when"}
    columns = Config("SASRec", "own", config_dict=settings)["load_col"]["inter"]
    assert {"who", "item_id", "when"} <= set(columns)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rat": 1}, r"unknown key \[learning_rat\]; did you mean \[learning_rate\]\?"),
        ({"model": "SASRecc"}, r"no model named \[SASRecc\]; did you mean \[SASRec\]\?"),
        ({"model": "sasrec"}, r"no model named \[sasrec\]; did you mean \[SASRec\]\?"),
        ({"model": "TIGR"}, r"no model named \[TIGR\]; did you mean \[TIGER\]\?"),
        ({"dataset": "ml-1k"}, r"no data set \[ml-1k\]: there is no folder dataset/ml-1k .*\[ml-1"),
        ({"dataset": "amazon-beaty"}, r"did you mean \[amazon-beauty\]\?"),
        ({"eval_args": {"mod": "full"}}, r"eval_args has no key \[mod\]; did you mean \[mode\]"),
        ({"eval_args": "full"}, r"eval_args should be a dict of .* found \[full\]"),
        ({"topk": [5, 0]}, r"topk should be a positive integer .* found \[\[5, 0\]\]"),
        ({"topk": []}, r"topk should be"),
        ({"topk": "five"}, r"topk should be"),
        ({"metrics": ["Recal"]}, r"no metric named \[Recal\]; did you mean \[recall\]"),
        (
            {"valid_metric": "MRR@7"},
            r"valid_metric \[MRR@7\] .* Recall@10, MRR@5, MRR@10, NDCG@5, NDCG@10",
        ),
        ({"valid_metric": "NDCG"}, r"valid_metric \[NDCG\] should be one of"),
        ({"metrics": ["AUC", "Hit"]}, r"metrics: ranking and value metrics cannot be mixed"),
        ({"unused_col": {"inter": torch.nn.Linear(1, 1)}}, r"unused_col should be a plain value"),
        ({"MAX_ITEM_LIST_LENGTH": 0}, r"MAX_ITEM_LIST_LENGTH should be an integer >= 1"),
        ({"MAX_ITEM_LIST_LENGTH": "ten"}, r"MAX_ITEM_LIST_LENGTH should be .* found \[ten\]"),
        (
            {"model": "TIGER", "beam_size": 4},
            r"beam_size should be at least max\(topk\) \[10",
        ),
        ({"model": "TIGER", "beam_size": "big"}, r"beam_size should be an integer"),
        ({"model": "TIGER", "codebook_sizes": []}, r"codebook_sizes should be a list"),
        ({"model": "TIGER", "codebook_sizes": [8, -1]}, r"codebook_sizes .* \[\[8, -1\]\]"),
        (
            {"learner": "adamm"},
            r"learner should be one of .*\[adamm\]; did you mean \[adam\]",
        ),
        (
            {"lr_scheduler": "cosin"},
            r"lr_scheduler should be .*\[cosin\]; did you mean \[cosine",
        ),
        ({"warmup_ratio": 2}, r"warmup_ratio should be a number in \[0, 1\], found \[2\]"),
        ({"gradient_accumulation_steps": 0}, r"gradient_accumulation_steps .* found \[0\]"),
        (
            {"model": "TIGER", "valid_beam_size": 9},
            r"valid_beam_size should be at least max\(topk\) \[10\], .* found \[9\]",
        ),
        ({"model": "TIGER", "metrics": ["NDCG", "GAUC"]}, r"metrics: GAUC needs .* TIGER"),
    ],
    ids=str,
)
def test_bad_settings_get_one_clear_error(settings, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = dict(settings)
    model, dataset = settings.pop("model", "SASRec"), settings.pop("dataset", "ml-100k")
    with pytest.raises(InputError, match=message):
        Config(model, dataset, config_dict=settings)


def test_one_config_file_needs_no_list(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 7")
    assert config(files=str(file))["epochs"] == config(files=file)["epochs"] == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        ("- a\n- b", "should hold lines `key: value`"),
        ("a: [1", "is not valid YAML"),
        ("epochs: 3\ntopk: [5]\nepochs: 4", r"the key \[epochs\] stands there twice.*\n.*line 3"),
        (
            "neg_sampling: ~",
            r"unknown key \[neg_sampling\] of an older RecBole; .* train_neg_",
        ),
        ("1: 2", r"mine\.yaml\]: a key should be text, found \[1\]"),
        ("~: 2", r"mine\.yaml\]: a key should be text, found \[None\]"),
        ("epoch: 3", r"unknown key \[epoch\]; did you mean \[epochs\]"),
    ],
)
def test_bad_config_files_are_named(tmp_path, content, message):
    file = tmp_path / "mine.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        config(files=[str(file)])
    assert any(name in str(error.value) for name in ("mine.yaml", "epoch", "neg_sampling"))


def test_a_recipe_is_found_from_any_folder_unless_a_file_there_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "properties/recipe/etegrec.yaml"
    recipe = config(files=[name]).as_dict()
    assert recipe == config(files=[properties_dir() / "recipe" / "etegrec.yaml"]).as_dict()
    (tmp_path / "properties" / "recipe").mkdir(parents=True)
    (tmp_path / name).write_text("epochs: 7\n")
    assert config(files=[name])["epochs"] == 7
    with pytest.raises(InputError, match=r"\[properties/recipe/none.yaml\] cannot be read"):
        config(files=["properties/recipe/none.yaml"])


@pytest.mark.parametrize("key", OLD_KEYS)
def test_keys_of_an_older_recbole_name_keys_of_today(key):
    with pytest.raises(
        InputError, match=rf"unknown key \[{key}\] of an older RecBole; today it is"
    ):
        config(**{key: 1})
    known = known_keys()
    assert key not in known
    assert known & set(re.findall(r"\w+", OLD_KEYS[key])) or OLD_KEYS[key].startswith("nothing")


def test_unknown_keys_can_be_let_pass(caplog):
    made = config(strict_config=False, my_own_key=3)
    assert made["my_own_key"] == 3
    assert "unknown key [my_own_key]" in caplog.text


@pytest.mark.parametrize("package", [recbole, recbole_genrec])
def test_every_key_that_is_read_is_known(package):
    """Keys in the source, less those that RecBole sets itself."""
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(package.__file__).parent.rglob("*.py")
    )
    read = set(re.findall(r"config\[\s*[\"']([A-Za-z_]+)[\"']\s*\]", source))
    set_inside = set(re.findall(r"config\[\s*[\"']([A-Za-z_]+)[\"']\s*\]\s*=[^=]", source))
    set_inside |= {"MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "device", "single_spec"}
    set_inside |= {"valid_neg_sample_args", "test_neg_sample_args"}
    hyper_tuning = {"choice", "uniform", "quniform", "loguniform"}  # kinds of search spaces
    assert read - set_inside - hyper_tuning <= known_keys()


def test_settings_as_plain_values_survive_json():
    made = Config("TIGER", "ml-100k", config_dict={"gpu_id": ""})
    plain = made.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["MODEL_TYPE"] == "SEQUENTIAL" and plain["device"] == "cpu"


def test_the_gpu_variable_is_left_alone_on_a_cpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    made = config(use_gpu=False, gpu_id="0,1")
    assert made["device"].type == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    config(use_gpu=False)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_recboles_yaml_loader_and_argument_lists_are_not_changed():
    made = config()
    assert made.yaml_loader is YamlLoader
    in_recboles_ml_100k = "kg_reverse_r"
    assert in_recboles_ml_100k in made.parameters["Dataset"]
    assert in_recboles_ml_100k not in argument_list.dataset_arguments


@pytest.mark.parametrize("inside", [True, False], ids=["wheel", "checkout"])
def test_properties_are_found(tmp_path, monkeypatch, inside):
    package = tmp_path / "site" / "recbole_genrec"
    package.mkdir(parents=True)
    place = (package if inside else package.parent) / "properties"
    shutil.copytree(properties_dir(), place)
    monkeypatch.setattr(yaml_files, "__file__", str(package / "config" / "yaml_files.py"))
    assert yaml_files.properties_dir() == place


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "aliases stand for more than 100,000 values"),
        ("a: &a [1, *a]", "aliases stand for more than 100,000 values"),
        ("a: " + "[" * 5000, "not valid YAML: maximum recursion"),
        ("epochs: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
        ("#" * 1_000_001, "should be text of at most 1,000,000"),
    ],
)
def test_yaml_that_would_take_for_ever_is_refused_at_once(tmp_path, content, message):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(InputError, match=message):
        config(files=[str(tmp_path / "mine.yaml")])


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device without an end")
def test_a_config_file_without_an_end_is_refused():
    with pytest.raises(InputError, match=r"\[/dev/zero\] should be text of at most"):
        config(files="/dev/zero")


@pytest.mark.parametrize("text", ["[" * 5000, "9" * 5000])
def test_values_that_cannot_be_read_are_refused(text):
    with pytest.raises(InputError, match="topk cannot be read: (nested too|Exceeds the)"):
        config(topk=text)


@pytest.mark.parametrize(("capability", "kept"), [("AVX512", True), ("AVX2", False)])
def test_a_processor_without_bfloat16_stays_in_float32(monkeypatch, caplog, capability, kept):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    made = config(enable_amp=True, use_gpu=False)
    assert made["enable_amp"] == kept
    assert ("(AVX2) has no fast bfloat16; the run stays in float32" in caplog.text) != kept


@pytest.mark.parametrize("name", ["toy/", "../toy", "..", "a\\b", "a\nb", "a\0b"])
def test_a_data_set_is_a_folder_of_its_data_path(name):
    with pytest.raises(InputError, match="dataset should be the name of a folder in data_path"):
        Config("SASRec", name)


@pytest.mark.parametrize("key", MOST)
def test_absurd_sizes_are_refused_before_they_fill_the_memory(key):
    with pytest.raises(InputError, match=rf"{key} should be at most {MOST[key]}, found \[{10**20}"):
        config(**{key: 10**20})


@pytest.mark.parametrize("key", ["checkpoint_dir", "results_dir", "resume", "sid_file"])
def test_no_name_of_a_file_holds_a_nul(key):
    with pytest.raises(InputError, match=rf"{key} should be text without NUL .* found 'a\\x00b'"):
        config(**{key: "a\0b"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"checkpoint_dir": ""}, r"checkpoint_dir should be the name of a folder.* found \[\]"),
        ({"results_dir": ""}, r"results_dir should be the name of a folder"),
        ({"dataset": "x" * 5000}, r"dataset should be a name of at most 100 .* \[5000 letters\]"),
    ],
)
def test_names_that_no_file_system_takes(settings, message):
    with pytest.raises(InputError, match=message):
        Config("SASRec", config_dict={"dataset": "toy", **settings})


def test_absurd_numbers_of_processes_are_refused_before_they_start():
    with pytest.raises(InputError, match=r"nproc should be at most 256, found \[1000000\]"):
        config(nproc=10**6)
