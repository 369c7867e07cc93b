"""The tokenizer stage: built once, restored equal, carried by checkpoints, clear on bad input."""

import io
import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.decomposition
import torch

from recbole_genrec.config.layers import properties
from recbole_genrec.errors import InputError
from recbole_genrec.items.text_encoder import TfidfEncoder
from recbole_genrec.stages import tokenizer as tokenizer_stage
from recbole_genrec.stages.tokenizer import TokenizerStage, run_tokenizer_stage
from recbole_genrec.tokenizer.rqkmeans import RQKMeans
from recbole_genrec.tokenizer.rqvae import RQVAE

NUM_ITEMS = 40
COLOURS, THINGS = ["red", "blue", "green", "black"], ["comb", "soap", "nail polish", "cream"]


class Settings(dict):
    """A configuration that, like RecBole's, knows None for every other key."""

    def __missing__(self, key):
        return None


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch, request):
    """Drawing takes longer than all the rest."""
    if "picture" not in request.node.name:
        monkeypatch.setattr(tokenizer_stage, "find_spec", lambda name: None)


@pytest.fixture
def toy(tmp_path):
    """A catalogue on disk with a few equal texts; returns its dataset and a maker of settings."""
    tokens = [f"i{number}" for number in range(1, NUM_ITEMS + 1)]
    rng = np.random.default_rng(0)
    texts = [f"{rng.choice(COLOURS)} {rng.choice(THINGS)}" for _ in tokens]
    lines = "".join(f"{token}\t{text}\n" for token, text in zip(tokens, texts, strict=True))
    (tmp_path / "toy.item").write_text("item_id:token\ttitle:token_seq\n" + lines)
    dataset = SimpleNamespace(item_tokens=["[PAD]", *tokens])

    def settings(**changes):
        name = changes.get("tokenizer", "RQKMeans")
        values = properties("items", "tokenizer/common", f"tokenizer/{name}") | {
            "data_path": str(tmp_path),
            "dataset": "toy",
            "field_separator": "\t",
            "seq_separator": " ",
            "ITEM_ID_FIELD": "item_id",
            "item_text_fields": ["title"],
            "checkpoint_dir": str(tmp_path / "saved"),
            "device": torch.device("cpu"),
            "seed": 1,
            "tokenizer": name,
            "codebook_sizes": [4, 4],
        }
        return Settings(values | changes)

    return SimpleNamespace(dataset=dataset, settings=settings, folder=tmp_path, texts=texts)


def run(toy, **changes):
    return run_tokenizer_stage(toy.settings(**changes), toy.dataset)


@pytest.fixture
def fits(monkeypatch):
    """Which classes were fitted, in order."""
    calls = []
    for cls in (TfidfEncoder, RQKMeans):

        def counted(self, *args, cls=cls, original=cls.fit):
            calls.append(cls.__name__)
            return original(self, *args)

        monkeypatch.setattr(cls, "fit", counted)
    return calls


def assert_equal_stages(one, other):
    assert one.semantic_ids.codebook_sizes == other.semantic_ids.codebook_sizes
    assert torch.equal(one.semantic_ids.codes, other.semantic_ids.codes)
    for name in ("item_tokens", "item_titles", "settings", "report"):
        assert getattr(one, name) == getattr(other, name)
    new = ["red cream", "violet comb"]
    assert torch.equal(one.encode_texts(new), other.encode_texts(new))
    vectors = one.encode_texts(new)
    assert torch.equal(one.encode_items(vectors), other.encode_items(vectors))


def write_embeddings(toy, dim=6, **changes):
    """Embeddings of all items in shuffled order; returns the settings that name them, and them."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(NUM_ITEMS, dim)).astype(np.float32)
    order = rng.permutation(NUM_ITEMS)
    np.savez(
        toy.folder / "items.npz",
        ids=[toy.dataset.item_tokens[1:][item] for item in order],
        embeddings=vectors[order],
    )
    return {"item_embedding_file": str(toy.folder / "items.npz"), **changes}, vectors


class TestContent:
    def test_from_texts(self, toy):
        stage = run(toy)
        assert stage.item_tokens == toy.dataset.item_tokens
        assert stage.item_titles == ["", *toy.texts]
        assert stage.item_embeddings.shape[0] == NUM_ITEMS + 1
        assert not stage.item_embeddings[0].any()
        assert torch.equal(stage.encode_texts(toy.texts), stage.item_embeddings[1:])
        # items with the same text share the tokenizer's codes, the appended level tells them apart
        codes = stage.semantic_ids.codes
        assert torch.equal(stage.encode_items(stage.item_embeddings[1:]), codes[1:, :2])
        assert stage.semantic_ids.num_levels == 3
        assert len(codes[1:].unique(dim=0)) == NUM_ITEMS
        assert stage.report["distinct_ids"] == len(codes[1:, :2].unique(dim=0)) < NUM_ITEMS

    def test_files_with_picture(self, toy):
        pytest.importorskip("matplotlib")
        stage = run(toy)
        names = {"tokenizer.pt", "semantic_ids.pt", "report.json", "report.png", "manifest.json"}
        assert {path.name for path in stage.folder.iterdir()} == names
        assert json.loads((stage.folder / "report.json").read_text()) == stage.report
        assert stage.folder.parent == toy.folder / "saved" / "semantic_ids"

    def test_from_embeddings_with_pca(self, toy):
        changes, vectors = write_embeddings(toy, text_embedding_dim=3)
        stage = run(toy, **changes)
        oracle = sklearn.decomposition.PCA(3, svd_solver="full").fit_transform(vectors)
        np.testing.assert_allclose(stage.item_embeddings[1:], oracle, atol=1e-5)
        assert not stage.item_embeddings[0].any()
        restored = TokenizerStage.from_state(through_a_checkpoint(stage.state()))
        raw = torch.from_numpy(vectors)
        assert torch.equal(restored.reduce(raw), stage.reduce(raw))
        assert torch.equal(restored.encode_items(restored.reduce(raw)),
                           stage.semantic_ids.codes[1:, :2])  # fmt: skip
        with pytest.raises(InputError, match="not made from texts"):
            stage.encode_texts(["red comb"])

    @pytest.mark.parametrize("dim", [6, 60])
    def test_embeddings_of_no_more_than_the_dimensions_asked_for(self, toy, dim, caplog):
        changes, vectors = write_embeddings(toy, text_embedding_dim=dim)
        stage = run(toy, **changes)
        np.testing.assert_array_equal(stage.item_embeddings[1:], vectors)
        assert stage.pca is None
        assert ("have 6 dimensions only" in caplog.text) == (dim == 60)

    def test_embeddings_need_no_texts(self, toy):
        changes, _ = write_embeddings(toy)
        (toy.folder / "toy.item").unlink()
        stage = run(toy, **changes)
        assert stage.item_titles is None

    def test_import_with_collisions(self, toy):
        tokens = toy.dataset.item_tokens[1:]
        given = {token: [number % 7, number % 5] for number, token in enumerate(tokens)}
        path = toy.folder / "given.json"
        path.write_text(json.dumps(given | {"unknown": [6, 4]}))
        stage = run(toy, sid_file=str(path))
        assert stage.semantic_ids.codes[1:, :2].tolist() == list(given.values())
        assert stage.semantic_ids.codebook_sizes == [7, 5, 2]  # 35 IDs for 40 items
        assert stage.report["distinct_ids"] == 35
        assert stage.tokenizer is None and stage.item_embeddings is None
        with pytest.raises(InputError, match="without a tokenizer"):
            stage.encode_items(torch.ones(1, 3))

    @pytest.mark.parametrize("form", ["codes", "letter"])
    @pytest.mark.parametrize("collision", ["append", "reassign"])
    def test_export_and_import(self, toy, form, collision):
        # sizes are read off the file: use every code
        stage = run(toy, collision=collision, codebook_sizes=[4, 4, 4])
        path = toy.folder / "export.json"
        stage.semantic_ids.to_json(path, stage.item_tokens, form)
        imported = run(toy, sid_file=str(path), collision=collision)
        assert torch.equal(imported.semantic_ids.codes, stage.semantic_ids.codes)


class TestCache:
    def test_second_run_fits_nothing_and_is_equal(self, toy, fits, caplog):
        with caplog.at_level(logging.INFO):
            first = run(toy)
            assert fits == ["TfidfEncoder", "RQKMeans"]
            assert "Semantic IDs written to" in caplog.text
            caplog.clear()
            second = run(toy)
        assert fits == ["TfidfEncoder", "RQKMeans"]
        assert "Item embeddings [41, 8]: from the cache" in caplog.text
        assert "Semantic IDs from the cache" in caplog.text
        assert_equal_stages(first, second)
        assert torch.equal(first.item_embeddings, second.item_embeddings)

    @pytest.mark.parametrize(
        "change",
        [
            {"seed": 2},
            {"codebook_sizes": [4, 8]},
            {"collision": "reassign", "codebook_sizes": [8, 8]},
            {"append_size": 30},
            {"tokenizer_kmeans_iterations": 3},
        ],
    )
    def test_other_tokenizer_settings_keep_the_embeddings(self, toy, fits, change):
        first = run(toy)
        assert run(toy, **change).folder != first.folder
        assert fits == ["TfidfEncoder", "RQKMeans", "RQKMeans"]

    @pytest.mark.parametrize(
        "change",
        [{"learning_rate": 1}, {"text_batch_size": 7}, {"tokenizer_distillation_weight": 1}],
    )
    def test_settings_of_others_change_nothing(self, toy, fits, change):
        assert run(toy).folder == run(toy, **change).folder
        assert fits == ["TfidfEncoder", "RQKMeans"]

    def test_a_killed_training_goes_on_where_it_stopped(self, toy, monkeypatch):
        settings = {"tokenizer": "RQVAE", "tokenizer_epochs": 6}
        expected = run(toy, **settings, checkpoint_dir=str(toy.folder / "undisturbed"))
        monkeypatch.setattr("recbole_genrec.tokenizer.progress.SAVE_SECONDS", 0)
        epochs, train_epoch = [], RQVAE._train_epoch

        def killed(self, rows, optimizer, scheduler, epoch, generator):
            epochs.append(epoch)
            if epochs == [0, 1, 2, 3]:
                raise KeyboardInterrupt
            return train_epoch(self, rows, optimizer, scheduler, epoch, generator)

        monkeypatch.setattr(RQVAE, "_train_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            run(toy, **settings)
        stage = run(toy, **settings)
        assert epochs == [0, 1, 2, 3, 3, 4, 5]
        assert_equal_stages(stage, expected)
        assert {path.name for path in stage.folder.iterdir()} == {
            path.name for path in expected.folder.iterdir()
        }

    def test_other_texts_or_dimensions_are_encoded_anew(self, toy, fits):
        run(toy)
        run(toy, text_embedding_dim=5)
        file = toy.folder / "toy.item"
        file.write_text(file.read_text().replace("red", "pink"))
        run(toy)
        assert fits == ["TfidfEncoder", "RQKMeans"] * 3

    def test_other_embedding_file_is_noticed(self, toy):
        changes, vectors = write_embeddings(toy)
        first = run(toy, **changes)
        np.savez(toy.folder / "items.npz", ids=toy.dataset.item_tokens[1:], embeddings=-vectors)
        second = run(toy, **changes)
        assert torch.equal(second.item_embeddings, -first.item_embeddings)

    @pytest.mark.parametrize("name", ["tokenizer.pt", "semantic_ids.pt", "report.json"])
    def test_truncated_file_is_rebuilt(self, toy, fits, name, caplog):
        first = run(toy)
        path = first.folder / name
        path.write_bytes(path.read_bytes()[:-3])
        with caplog.at_level(logging.WARNING):
            second = run(toy)
        assert f"is rebuilt: {name} has changed" in caplog.text
        assert fits == ["TfidfEncoder", "RQKMeans", "RQKMeans"]
        assert_equal_stages(first, second)

    def test_killed_encoding_goes_on_where_it_stopped(self, toy, monkeypatch):
        expected = run(toy, checkpoint_dir=str(toy.folder / "elsewhere")).item_embeddings
        monkeypatch.setattr(TfidfEncoder, "chunk", 8)
        encoded, encode = [], TfidfEncoder.encode

        def dies_at_item_20(self, texts):
            if sum(map(len, encoded)) >= 20:
                raise KeyboardInterrupt
            encoded.append(texts)
            return encode(self, texts)

        monkeypatch.setattr(TfidfEncoder, "encode", dies_at_item_20)
        with pytest.raises(KeyboardInterrupt):
            run(toy)
        monkeypatch.setattr(
            TfidfEncoder, "encode", lambda self, texts: encoded.append(texts) or encode(self, texts)
        )
        stage = run(toy)
        assert [text for chunk in encoded for text in chunk] == toy.texts  # each of them once
        assert torch.equal(stage.item_embeddings, expected)


def through_a_checkpoint(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


class TestState:
    @pytest.mark.parametrize("tokenizer", ["RQKMeans", "RQVAE", "PQ"])
    def test_checkpoint_carries_the_stage(self, toy, tokenizer):
        stage = run(toy, tokenizer=tokenizer, tokenizer_epochs=2, text_embedding_dim=8)
        assert_equal_stages(stage, TokenizerStage.from_state(through_a_checkpoint(stage.state())))

    def test_imported_ids(self, toy):
        path = toy.folder / "given.json"
        path.write_text(json.dumps({token: [i] for i, token in enumerate(toy.dataset.item_tokens)}))
        stage = run(toy, sid_file=str(path))
        restored = TokenizerStage.from_state(through_a_checkpoint(stage.state()))
        assert torch.equal(restored.semantic_ids.codes, stage.semantic_ids.codes)
        assert restored.tokenizer is None and restored.text_encoder is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": "RQVEA"}, r"tokenizer should be one of .*\[RQVEA\].*\[RQVAE\]"),
        ({"collision": "apend"}, r"collision should be one of append.*\[apend\].*\[append\]"),
        ({"sid_file": "nowhere.json"}, r"sid_file: there is no file nowhere\.json"),
        ({"item_text_fields": ["name"]}, r"toy\.item has none of the columns \['name'\]"),
        ({"text_embedding_dim": 0}, r"text_embedding_dim should be an integer >= 1, found \[0\]"),
        ({"text_encoder": "tf-idf"}, r"did you mean \[tfidf\]"),
        ({"item_embedding_file": "nowhere.npz"}, r"there is no file nowhere\.npz"),
        ({"codebook_sizes": [64, 64]}, "40 items"),
    ],
)
def test_bad_input(toy, changes, message):
    with pytest.raises(InputError, match=message):
        run(toy, **changes)


def test_broken_embeddings_leave_no_cache(toy):
    changes, vectors = write_embeddings(toy)
    vectors[3] = np.nan
    np.savez(toy.folder / "items.npz", ids=toy.dataset.item_tokens[1:], embeddings=vectors)
    message = r"items\.npz: the embeddings of 1 item \(i4\) hold NaN"
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            run(toy, **changes)
    left = (toy.folder / "saved" / "semantic_ids").iterdir()
    assert all(path.name.endswith(".building") for path in left if path.is_dir())
