"""The documentation agrees with the code: keys, commands and links."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from recbole_genrec import cli
from recbole_genrec.compat import RECBOLE_PROPERTIES
from recbole_genrec.config import Config
from recbole_genrec.config.yaml_files import properties_dir, read_yaml
from recbole_genrec.reproduce import EXPERIMENTS
from tests.conftest import REPOSITORY
from tests.documents import anchors, blocks, commands, page
from tests.small import NAME, write_toy

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
    assert {key.name for key in generator.read_keys(path)} == set(read_yaml(path))
    assert path.read_text(encoding="utf-8").startswith("# "), "the first line says what it is"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("d_model: 128", r"expected `d_model: value  # \(kind\) meaning`"),
        ("d_model: 128  # Dimension.", r"expected `d_model: value  # \(kind\) meaning`"),
        ("d_model: 128  # (int)", r"expected `d_model: value  # \(kind\) meaning`"),
        ("d_model: 128.0  # (int) Dimension.", r"expected an integer, found \[128.0\]"),
        ("d_model: 0  # (int >= 1) Dimension.", r"expected an integer >= 1, found \[0\]"),
        ("d_model: 128  # (number) Dimension.", r"d_model: expected a type .* found \[number\]"),
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
        return {"failed": []}

    def reproduced(name, dataset, seeds, files, settings):
        for row in getattr(EXPERIMENTS[name], "rows", [EXPERIMENTS[name]]):
            recipe = properties_dir() / "recipe" / f"{row.recipe}.yaml"
            Config(None, dataset, [str(recipe), *(files or [])], settings)

    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr("recbole_genrec.quick_start.run_recbole_genrec", check)
    monkeypatch.setattr("recbole_genrec.compare.compare_models", check_all)
    monkeypatch.setattr("recbole_genrec.report.publish", lambda comparison: None)
    monkeypatch.setattr("recbole_genrec.reproduce.reproduce", reproduced)
    analyzed = []
    monkeypatch.setattr(
        "recbole_genrec.analysis.identifiers.write_analysis",
        lambda *arguments: analyzed.append(arguments),
    )
    text = page("reproducing-the-papers")
    in_tables = re.findall(r"\| `(recbole-genrec reproduce .*?)` \|", text)
    assert len(in_tables) == len(EXPERIMENTS)
    for command in [*commands(text), *in_tables]:
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


def test_the_page_on_adding_a_model_shows_the_outside_model_of_the_tests():
    code = blocks(page("adding-a-model"), "python")[0].text
    (settings,) = (block.text for block in blocks(page("adding-a-model"), "yaml"))
    folder = REPOSITORY / "tests" / "outside"
    assert code == (folder / "gru_writer.py").read_text(encoding="utf-8")
    assert settings == (folder / "GRUWriter.yaml").read_text(encoding="utf-8")


def test_the_page_on_adding_a_model_runs_as_it_stands(tmp_path):
    """Its files in an empty folder train the model, on a small data set in the place of ml-100k."""
    code, *scripts = (block.text for block in blocks(page("adding-a-model"), "python"))
    (settings,) = (block.text for block in blocks(page("adding-a-model"), "yaml"))
    (tmp_path / "gru_writer.py").write_text(code)
    (tmp_path / "GRUWriter.yaml").write_text(settings)
    small = '"item_text_fields": ["title"], "codebook_sizes": [8, 8], '
    quick = f'{{{small}"tokenizer": "RQKMeans", "d_model": 8, "d_ff": 8, "epochs": 1}}'
    script = "\n".join(scripts).replace("ml-100k", NAME)
    script = script.replace("config_dict={", f"config_dict={{{small}")
    script = script.replace("[1, 2, 3]", f"[1], config_dict={quick}")
    write_toy(tmp_path / "dataset", missing=False)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    records = tmp_path.glob("results/*/result.json")
    results = [json.loads(record.read_text()) for record in records]
    runs = sorted((run["config"]["model"], run["epochs_trained"]) for run in results)
    assert runs == [("GRUWriter", 1), ("GRUWriter", 2), ("SASRec", 1), ("TIGER", 1)]
    assert len(list(tmp_path.glob("results/*/report.html"))) == 1


def test_the_page_on_adding_a_model_makes_a_package_that_the_command_line_knows(tmp_path):
    text = page("adding-a-model")
    package = tmp_path / "gru_writer"
    package.mkdir()
    (package / "gru_writer.py").write_text(blocks(text, "python")[0].text)
    (package / "GRUWriter.yaml").write_text(blocks(text, "yaml")[0].text)
    (tmp_path / "pyproject.toml").write_text(blocks(text, "toml")[0].text)
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    options = ["--no-deps", "--no-build-isolation", f"--target={site}"]
    subprocess.run([*pip, *options, tmp_path], check=True)
    environment = {**os.environ, "PYTHONPATH": f"{site}:{REPOSITORY}"}
    config = "from recbole_genrec.config import Config; print(Config('GRUWriter', 'ml-100k'))"
    command = [sys.executable, "-c", config]
    assert "gru_size" in subprocess.check_output(command, cwd=site, env=environment, text=True)


def test_the_table_of_recboles_models_names_each_and_what_was_seen():
    lines = (REPOSITORY / "docs" / "recbole-models.md").read_text(encoding="utf-8").splitlines()
    cells = [line.split("|") for line in lines if line.startswith("| `")]
    rows = {row[1].strip("` "): row[3].strip() for row in cells}
    models = {path.stem for path in (RECBOLE_PROPERTIES / "model").glob("*.yaml")}
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert f"[{len(rows)} models](docs/recbole-models.md)" in readme
    assert models <= rows.keys()
    for model in models:
        assert rows[model].startswith("yes") or "needs the package" in rows[model], model
