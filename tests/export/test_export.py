"""Exported folders answer as the model does, read by `transformers` alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from recbole_genrec import Recommender, cli
from recbole_genrec.errors import InputError
from recbole_genrec.export import export
from recbole_genrec.model.hooks import hooks_of
from recbole_genrec.model.tiger import TIGER
from recbole_genrec.quick_start import run_recbole_genrec
from recbole_genrec.runs.checkpoint import load_checkpoint, save_checkpoint
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs
from tests.documents import blocks, page
from tests.resume_cases import SETTINGS
from tests.small import NAME, write_toy

HISTORIES = [["i1", "i2", "i3"], ["i7"], [f"i{n}" for n in range(9)]]  # the last one is cut
TOP_K = 12  # more than the beam of 10, and than the codes of a level
T5_FILES = {"config.json", "generation_config.json", "model.safetensors"}
ALL = {"README.md", "semantic_ids.json"}


def train(folder: Path, model: str, **settings) -> Path:
    """One epoch on the toy data in `folder`; returns the checkpoint of the best."""
    given = {
        "data_path": str(write_toy(folder, missing=False)),
        "checkpoint_dir": str(folder / "saved"),
        "results_dir": str(folder / "results"),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": 6,
        "epochs": 1,
        "topk": [3, 5],
        "valid_metric": "NDCG@5",
        "show_progress": False,
    }
    run_recbole_genrec(model, NAME, config_dict={**given, **SETTINGS[model], **settings})
    return next(f for f in (folder / "saved").glob(f"{model}*.pth") if "-last" not in f.name)


@pytest.fixture(scope="module")
def tiger(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("tiger"), "TIGER", valid_loss=True)


def answers_of_the_card(folder: Path) -> list[list[tuple[str, float]]]:
    """What the code in the model card makes of `HISTORIES`, in a process without this package."""
    (code,) = (block.text for block in blocks((folder / "README.md").read_text(), "python"))
    code += f"""
import sys
print(json.dumps([recommend(history, {TOP_K}) for history in {HISTORIES}]))
assert not [name for name in sys.modules if name.startswith("recbole")]
"""
    command = [sys.executable, "-I", "-c", code]
    run = subprocess.run(command, cwd=folder, check=True, text=True, capture_output=True)
    return json.loads(run.stdout)


def assert_same_answers(folder: Path, checkpoint: Path) -> None:
    expected = Recommender.from_checkpoint(checkpoint, "cpu").recommend(HISTORIES, TOP_K)
    found = answers_of_the_card(folder)
    for ours, theirs in zip(expected, found, strict=True):
        assert [answer["item"] for answer in ours] == [item for item, _ in theirs]
        scores = [answer["log_probability"] for answer in ours]
        assert [score for _, score in theirs] == pytest.approx(scores, abs=1e-4)


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.mark.parametrize("model", ["TIGER", "LETTER", "ETEGRec"])
def test_transformers_alone_gives_the_same_lists_and_scores(model, tiger, tmp_path):
    checkpoint = tiger if model == "TIGER" else train(tmp_path, model)
    folder = export(checkpoint, tmp_path / "out")
    assert files(folder) == ALL | T5_FILES
    assert_same_answers(folder, checkpoint)


def test_whole_items_are_exported_as_input_embeddings_and_existing_codes_share_all(tmp_path):
    checkpoint = train(tmp_path, "TIGER", history_unit="item", existing_codes_only=True)
    folder = export(checkpoint, tmp_path / "out")
    table = load_file(folder / "input_embeddings.safetensors")["items"]
    assert table.shape == (40, 1, 16)
    assert_same_answers(folder, checkpoint)


def test_soft_identifiers_are_exported_as_input_embeddings(tmp_path):
    checkpoint = train(tmp_path, "UniGRec")
    folder = export(checkpoint, tmp_path / "out")
    assert files(folder) == ALL | T5_FILES | {"input_embeddings.safetensors"}
    table = load_file(folder / "input_embeddings.safetensors")["items"]
    assert table.shape == (40, 2, 16)  # without the dedicated token
    assert_same_answers(folder, checkpoint)


@pytest.mark.parametrize("model", ["RPG", "SemanticSASRec"])
def test_models_that_score_all_items_give_vectors_and_codes(model, tmp_path):
    checkpoint = train(tmp_path, model)
    folder = export(checkpoint, tmp_path / "out")
    assert files(folder) == ALL | {"item_vectors.safetensors"}
    trained = Recommender.from_checkpoint(checkpoint, "cpu").model
    codes = json.loads((folder / "semantic_ids.json").read_text())
    vectors = load_file(folder / "item_vectors.safetensors")["items"]
    assert list(codes) == trained.items.tokens[1:]
    assert list(codes.values()) == trained.ids.codes[1:].tolist()
    for item, vector in enumerate(vectors, 1):  # by hand, one at a time
        tokens = trained.ids.tokens[item]
        if model == "RPG":
            expected = trained.code_embedding.weight[tokens].mean(0)
        else:
            parts = trained.item_vectors
            expected = parts.own.weight[item] + parts.codes.weight[tokens].sum(0)
            expected = expected + parts.projection.weight @ parts.text[item]
            lists = trained.neighbor_lists
            near, shares = lists.items[item], lists.shares[item]
            expected = expected + parts.neighbors.weight * (shares @ parts.own.weight[near])
        torch.testing.assert_close(vector, expected)
    assert "```python" not in (folder / "README.md").read_text()


def test_the_ids_are_a_file_of_semantic_ids(tiger, tmp_path):
    folder = export(tiger, tmp_path / "out")
    items = [f"i{n}" for n in range(40)]
    ids = SemanticIDs.from_json(folder / "semantic_ids.json", items[:1] + items)
    known = Recommender.from_checkpoint(tiger, "cpu")
    assert ids.codes[1:].tolist() == known.model.ids.codes[known.catalogue.ids(items)].tolist()


def test_the_card_tells_data_settings_and_metrics(tiger, tmp_path):
    card = (export(tiger, tmp_path / "out") / "README.md").read_text()
    record = json.loads(next(tiger.parents[1].glob("results/*/result.json")).read_text())
    for metric, value in record["valid_result"].items():
        tested = record["test_result"].get(metric, "–")
        assert f"| {metric} | {value} | {tested} |" in card
    assert record["valid_result"].keys() - record["test_result"].keys() == {"loss"}
    assert "protocol unmasked: items of the history stay candidates" in card
    for name, checksum in record["data_files"].items():
        assert f"| {name} | `{checksum}` |" in card
    settings = yaml.safe_load(*(block.text for block in blocks(card, "yaml")))
    assert settings.items() <= record["config"].items() and settings["d_model"] == 16
    assert str(tiger.parents[1]) not in card, "the places of the user's files"


def test_the_card_says_where_it_knows_of_no_test(tiger, tmp_path):
    trained = load_checkpoint(tiger)
    trained["config"]["seed"] += 1
    save_checkpoint(trained, tmp_path / "other.pth")
    card = (export(tmp_path / "other.pth", tmp_path / "out") / "README.md").read_text()
    assert "No record of a test of these weights was found." in card
    assert "| metric | validation |\n" in card


def test_the_documentation_shows_the_code_of_the_card(tiger, tmp_path):
    card = (export(tiger, tmp_path / "out") / "README.md").read_text()
    (code,) = (block.text for block in blocks(card, "python"))
    assert code in (block.text for block in blocks(page("exporting"), "python"))


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("TIGER", {"history_attention": "causal"}, "history_attention should be bidirectional"),
        ("DiscRec", {}, "DiscRec cannot be exported: it computes more than its T5"),
        ("EAGER", {}, "EAGER cannot be exported: no other program runs it"),
        ("SASRec", {}, "SASRec cannot be exported: it has no semantic IDs"),
    ],
)
def test_what_only_this_package_can_run_is_refused_and_leaves_nothing(
    model, settings, message, tmp_path
):
    checkpoint = train(tmp_path, model, **settings)
    before = files(tmp_path)
    with pytest.raises(InputError, match=message):
        export(checkpoint, tmp_path / "out")
    assert files(tmp_path) == before


def test_a_model_that_names_no_way_is_refused():
    class Plain(torch.nn.Module):
        pass

    with pytest.raises(InputError, match="Plain cannot be exported: no other program runs it"):
        hooks_of(Plain()).export(Path())


def test_models_that_inherit_are_held_against_transformers(tiger, tmp_path, monkeypatch):
    """Whatever a model computes beside its T5, nothing is written that gives other scores."""
    decode = TIGER.decode
    monkeypatch.setattr(TIGER, "decode", lambda *arguments: 1.01 * decode(*arguments))
    with pytest.raises(InputError, match=r"other scores \(log-likelihoods differ by 0\."):
        export(tiger, tmp_path / "out")
    assert not files(tmp_path)


def test_the_command_line(tiger, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    arguments = ["export", f"--checkpoint={tiger}", f"--output={tmp_path / 'empty'}"]
    cli.main(arguments)
    assert capsys.readouterr().out.endswith(f"written to {tmp_path / 'empty'}\n")
    assert files(tmp_path) == {"empty"} and files(tmp_path / "empty") == ALL | T5_FILES
    assert len({file.stat().st_mode for file in (tmp_path / "empty").iterdir()}) == 1
    with pytest.raises(SystemExit) as error:
        cli.main(arguments)
    expected = f"output should be a folder that is new or empty, found [{tmp_path / 'empty'}]"
    assert str(error.value) == f"error: {expected}"
    with pytest.raises(SystemExit, match=r"error: output \[/proc/nowhere\] cannot be written to"):
        cli.main([*arguments[:2], "--output=/proc/nowhere/out"])
    with pytest.raises(
        SystemExit, match=r"error: output cannot be written to \(File name too long"
    ):
        cli.main([*arguments[:2], f"--output={tmp_path / ('x' * 300)}"])
    with pytest.raises(SystemExit, match="error: there is no checkpoint"):
        cli.main(["export", "--checkpoint=nothing.pth", f"--output={tmp_path / 'new'}"])
