"""The stages as a command: several tokenizers of one data set, compared and exported."""

import json
import logging

import numpy as np
import pytest
import torch

from recbole_genrec import cli
from recbole_genrec.commands import tokenize as command
from recbole_genrec.commands.tokenize import tokenize
from recbole_genrec.errors import InputError
from recbole_genrec.items.needs import Tokens
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch, request):
    """Drawing takes longer than all the rest."""
    if "picture" not in request.node.name:
        monkeypatch.setattr(command, "find_spec", lambda name: None)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A toy data set on disk and what makes its stages quick."""
    monkeypatch.chdir(tmp_path)  # RecBole writes its log into the working folder
    rng = np.random.default_rng(0)
    folder = tmp_path / "toy"
    folder.mkdir()
    clicks = [(user, item) for user in range(20) for item in rng.permutation(30)[:12]]
    (folder / "toy.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n"
        + "".join(f"u{user}\ti{item}\t{time}\n" for time, (user, item) in enumerate(clicks))
    )
    (folder / "toy.item").write_text(
        "item_id:token\ttitle:token_seq\n"
        + "".join(f"i{item}\titem {item}\n" for item in range(30))
    )
    return {
        "data_path": str(tmp_path),
        "item_text_fields": ["title"],
        "codebook_sizes": [8, 8],
        "checkpoint_dir": str(tmp_path / "saved"),
        "show_progress": False,
    }


@pytest.fixture
def exports(tmp_path):
    """Gives the names and contents of all exported files."""

    def read():
        files = (tmp_path / "saved" / "semantic_ids").glob("*.json")
        return {file.name: file.read_bytes() for file in files}

    return read


def test_compares_and_exports(settings, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        built = tokenize("toy", "RQKMeans, Random", config_dict=settings)
    assert list(built) == ["RQKMeans", "Random"]
    table = caplog.text[caplog.text.index("Comparison on toy") :]
    assert "RQKMeans" in table and "Random" in table
    for name, items in built.items():
        for suffix in ("sid", "index"):
            path = tmp_path / "saved" / "semantic_ids" / f"toy-{name}-tfidf.{suffix}.json"
            assert set(json.loads(path.read_text())) == {f"i{item}" for item in range(30)}
            imported = SemanticIDs.from_json(path, items.tokens)
            assert torch.equal(imported.codes, items.ids[""].codes)


def test_picture(settings, tmp_path):
    pytest.importorskip("matplotlib")
    tokenize("toy", "LSH", config_dict=settings)
    picture = tmp_path / "saved" / "semantic_ids" / "toy-LSH-tfidf.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_tokenizer_of_the_settings(settings):
    assert list(tokenize("toy", config_dict={**settings, "tokenizer": "LSH"})) == ["LSH"]


def test_all_tokenizers_are_checked_before_any_is_built(settings, tmp_path):
    for other, message in (("RQKMean", r"\[RQKMean\].*RQKMeans"), ("LSH", "powers of two")):
        with pytest.raises(InputError, match=message):
            tokenize("toy", ["Random", other], config_dict={**settings, "codebook_sizes": [9, 9]})
    assert not (tmp_path / "saved" / "semantic_ids").exists()


def test_the_same_ids_are_exported_under_the_same_name(settings, exports):
    tokenize("toy", "LSH", config_dict=settings)
    first = exports()
    tokenize("toy", "LSH", config_dict=settings)
    assert exports() == first
    assert first.keys() == {"toy-LSH-tfidf.sid.json", "toy-LSH-tfidf.index.json"}


@pytest.mark.parametrize("suffix", ["sid", "index"])
def test_an_edited_export_is_left_alone(settings, exports, tmp_path, suffix, caplog):
    tokenize("toy", "LSH", config_dict=settings)
    edited = tmp_path / "saved" / "semantic_ids" / f"toy-LSH-tfidf.{suffix}.json"
    edited.write_text(edited.read_text().replace(":", " : "))
    before = exports()
    for _ in range(2):
        tokenize("toy", "LSH", config_dict=settings)
        assert "toy-LSH-tfidf holds other IDs and stays as it is" in caplog.text
    tokenize("toy", "LSH", config_dict={**settings, "seed": 5})
    after = exports()
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {
        f"toy-LSH-tfidf-{number}.{kind}.json" for number in (2, 3) for kind in ("sid", "index")
    }


def test_other_embeddings_have_another_name(settings, exports, tmp_path):
    rng = np.random.default_rng(0)
    items = [f"i{item}" for item in range(30)]
    np.savez(tmp_path / "own.npz", ids=items, embeddings=rng.normal(size=(30, 4)))
    tokenize("toy", "LSH", config_dict=settings)
    file = str(tmp_path / "own.npz")
    tokenize("toy", "LSH", config_dict={**settings, "item_embedding_file": file})
    assert {name.split(".")[0] for name in exports()} == {"toy-LSH-tfidf", "toy-LSH-own"}


def test_imported_ids_are_checked_and_exported(settings, exports, tmp_path):
    path = tmp_path / "ids.json"
    path.write_text(json.dumps({f"i{item}": [item % 7, item] for item in range(30)}))
    tokenize("toy", config_dict={**settings, "sid_file": str(path)})
    assert json.loads(exports()["toy-imported.sid.json"]) == json.loads(path.read_text())


def test_each_set_of_a_model_is_exported(settings, exports, monkeypatch):
    sets = [Tokens(), Tokens("behavior")]
    monkeypatch.setattr(command, "_sets", lambda config: sets)
    own = {"behavior_codebook_sizes": [4, 4], "strict_config": False}  # TIGER has no such set
    built = tokenize("toy", "LSH", config_dict={**settings, **own})
    assert built["LSH"].ids.keys() == {"", "behavior"}
    assert {name.split(".")[0] for name in exports()} == {
        "toy-LSH-tfidf",
        "toy-behavior-LSH-tfidf",
    }


def test_the_settings_are_those_of_the_model_that_is_named(settings, exports, tmp_path):
    arguments = [f"--{key}={value}" for key, value in settings.items()]
    cli.main(["tokenize", "--dataset=toy", "--model=RPG", *arguments])
    assert {name.partition("-t")[0] for name in exports()} == {"toy-OPQ"}  # TIGER has an RQ-VAE
    (tmp_path / "own.yaml").write_text("model: RPG\n")
    tokenize("toy", config_file_list=[str(tmp_path / "own.yaml")], config_dict=settings)
    assert len(exports()) == 2


def test_long_ids_are_exported_in_the_form_that_has_room_for_them(settings, exports, caplog):
    caplog.set_level(logging.INFO)
    tokenize("toy", "Random", config_dict={**settings, "codebook_sizes": [4] * 40})
    assert list(exports()) == ["toy-Random-tfidf.sid.json"]
    assert "No .index.json: LETTER's form has no more than 26 levels" in caplog.text


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([10**9] * 3, "needs at least as many items as codes in a level: got 30 items"),
        ([8, 31], r"at least as many items .*: got 30 items .*--codebook_sizes=\[16,16,16\]"),
        ([2] * 129, r"codebook_sizes should be those of at most 128 levels, found \[129 levels\]"),
    ],
)
@pytest.mark.parametrize("tokenizer", ["RQVAE", "PQ", "Random"])
def test_codebooks_that_nothing_can_fill_are_refused_before_any_work(
    settings, tmp_path, tokenizer, sizes, message
):
    with pytest.raises(InputError, match=message):
        tokenize("toy", tokenizer, config_dict={**settings, "codebook_sizes": sizes})
    assert not (tmp_path / "saved" / "semantic_ids").exists()
