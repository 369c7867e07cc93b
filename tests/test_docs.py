"""The documentation agrees with the code: keys, commands and links."""

import importlib.util
import re
import shlex
import shutil
import sys
import types

import pytest

from recbole_genrec import cli, registry
from recbole_genrec.config import Config
from recbole_genrec.config.yaml_files import properties_dir
from tests.conftest import REPOSITORY
from tests.documents import anchors, blocks, commands, page

PAGES = sorted([*(REPOSITORY / "docs").glob("*.md"), *REPOSITORY.glob("*.md")])


def load_generator():
    path = REPOSITORY / "docs" / "generate_configuration.py"
    spec = importlib.util.spec_from_file_location("generate_configuration", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


def test_configuration_page_is_what_the_comments_say():
    message = "run `python docs/generate_configuration.py`"
    assert page("configuration") == generator.configuration(properties_dir()), message


@pytest.mark.parametrize(
    "path", sorted(properties_dir().rglob("*.yaml")), ids=lambda path: path.stem
)
def test_every_key_has_a_comment_with_type_and_meaning(path):
    assert {key.name for key in generator.read_keys(path)} == set(generator.read_yaml(path))
    assert path.read_text(encoding="utf-8").startswith("# "), "the first line says what it is"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("d_model: 128", r"expected `d_model: value  # \(type\) meaning`"),
        ("d_model: 128  # Dimension.", r"expected `d_model: value  # \(type\) meaning`"),
        ("d_model: 128.0  # (int) Dimension.", r"expected \(int\), found \[128.0\]"),
        ("d_model: 128  # (number) Dimension.", r"expected \(number\), found \[128\]"),
    ],
)
def test_undocumented_keys_are_refused(tmp_path, line, message):
    path = tmp_path / "M.yaml"
    path.write_text(f"# A model\n{line}\n")
    with pytest.raises(ValueError, match=message):
        generator.read_keys(path)


def test_nested_values_and_bars_fit_into_a_table(tmp_path):
    path = tmp_path / "M.yaml"
    path.write_text("a:  # (dict) This | that.\n  b: [1, x, '[5,inf)']\nc: ~  # (int) Nothing.\n")
    assert list(generator.table(generator.read_keys(path)))[3:] == [
        '| `a` | `{b: [1, x, "[5,inf)"]}` | dict | This \\| that. |',
        "| `c` | `~` | int | Nothing. |",
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_commands_that_train_on_real_data_have_settings_that_exist(monkeypatch):
    """Everything short of reading the data: programs, options, models, files and keys."""
    checked = []

    def check(model, dataset, files, settings):
        checked.append(Config(model, dataset, files, settings)["model"])

    def check_all(models, dataset, seeds, files, settings, reference):
        assert seeds == [1, 2, 3]
        for model in models:
            check(model, dataset, files, settings)

    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr("recbole_genrec.quick_start.run_recbole_genrec", check)
    monkeypatch.setattr("recbole_genrec.compare.compare_models", check_all)
    monkeypatch.setattr("recbole_genrec.report.publish", lambda comparison: None)
    analyzed = []
    monkeypatch.setattr(
        "recbole_genrec.analysis.identifiers.write_analysis",
        lambda *arguments: analyzed.append(arguments),
    )
    for command in commands(page("reproducing-the-papers")):
        program, script, *arguments = shlex.split(command)
        if program == "recbole-genrec":
            cli.main([script, *arguments])
        else:
            assert program == "python" and (REPOSITORY / script).is_file()
            cli.main(["run", *arguments])
    assert analyzed == [(["saved/UniGRec-ml-100k-....pth"], "analysis", True)]
    own = ["TIGER", "TIGERTokenWeighted", "UniGRec"]
    assert checked == [*own, "SASRec", *own]


def test_pages_name_options_of_prepare_that_exist():
    from recbole_genrec.commands.prepare import _parser

    options = set(_parser()._option_string_actions)
    text = page("your-own-dataset")
    for command in re.findall(r"recbole-genrec prepare (.*?)(?:`|\n)", text):
        assert {argument.partition("=")[0] for argument in shlex.split(command)} <= options
    sources = re.findall(r"^\| `(\w[\w-]*)` \|", text, flags=re.MULTILINE)
    assert sources == list(_parser()._option_string_actions["--source"].choices)


def test_the_example_of_a_new_model_is_one(monkeypatch, tmp_path):
    """Its class, YAML and registry line make `--model=TIGERTokenDropout` a configuration."""
    code, line = (block.text for block in blocks(page("adding-a-model"), "python"))
    (settings,) = blocks(page("adding-a-model"), "yaml")
    name, target = re.fullmatch(r'"(\w+)": "([\w.:]+)",\n', line).groups()
    module = types.ModuleType(target.partition(":")[0])
    exec(compile(code, module.__name__, "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(registry.MODELS, name, target)
    shutil.copytree(properties_dir(), tmp_path / "properties")
    file = tmp_path / "properties" / "model" / f"{name}.yaml"
    file.write_text(settings.text)
    monkeypatch.setattr(
        "recbole_genrec.config.layers.properties_dir", lambda: tmp_path / "properties"
    )

    assert [key.name for key in generator.read_keys(file)] == ["token_dropout"]
    config = Config(name, "ml-100k")
    assert registry.get_model(config["model"]) is module.TIGERTokenDropout
    assert (config["token_dropout"], config["loss"]) == (0.1, "cross_entropy")
