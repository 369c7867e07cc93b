"""From texts, embeddings or given codes to IDs: built once, restored equal, clear on bad input."""

import io
import json
import logging

import numpy as np
import pytest
import sklearn.decomposition
import torch

from recbole_genrec.errors import InputError
from recbole_genrec.items.items import Items
from recbole_genrec.items.needs import Tokens
from recbole_genrec.items.text_encoder import TfidfEncoder
from recbole_genrec.tokenizer.registry import tokenizer_state
from recbole_genrec.tokenizer.rqkmeans import RQKMeans
from recbole_genrec.tokenizer.rqvae import RQVAE
from tests.stages.conftest import NUM_ITEMS


def assert_equal_items(one, other):
    for name in ("tokens", "titles", "reports"):
        assert getattr(one, name) == getattr(other, name)
    assert one.ids[""].codebook_sizes == other.ids[""].codebook_sizes
    assert torch.equal(one.ids[""].codes, other.ids[""].codes)
    new = ["red cream", "violet comb"]
    assert torch.equal(one.encode_texts(new), other.encode_texts(new))
    vectors = one.encode_texts(new)
    assert torch.equal(one.encode_items("", vectors), other.encode_items("", vectors))


def through_a_checkpoint(items):
    file = io.BytesIO()
    torch.save(items.state(items.ids), file)
    file.seek(0)
    return Items.from_state(torch.load(file, weights_only=True))


class TestContent:
    def test_from_texts(self, toy):
        items = toy.run()
        assert items.tokens == toy.dataset.item_tokens
        assert items.titles == ["", *toy.texts]
        vectors = items.embeddings["text"].vectors
        assert vectors.shape[0] == NUM_ITEMS + 1
        assert not vectors[0].any()
        assert torch.equal(items.encode_texts(toy.texts), vectors[1:])
        # items with the same text share the tokenizer's codes, the appended level tells them apart
        codes = items.ids[""].codes
        assert torch.equal(items.encode_items("", vectors[1:]), codes[1:, :2])
        assert items.ids[""].num_levels == 3
        assert len(codes[1:].unique(dim=0)) == NUM_ITEMS
        assert items.reports[""]["distinct_ids"] == len(codes[1:, :2].unique(dim=0)) < NUM_ITEMS

    def test_each_step_has_a_folder(self, toy):
        toy.run()
        assert toy.folders() == ["toy-RQKMeans", "toy-RQKMeans-ids", "toy-tfidf"]
        assert not list(toy.folder.rglob("*.png"))

    def test_from_embeddings_with_pca(self, toy):
        file, vectors = toy.write_embeddings()
        items = toy.run(item_embedding_file=file, text_embedding_dim=3)
        found = items.embeddings["text"].vectors
        oracle = sklearn.decomposition.PCA(3, svd_solver="full").fit_transform(vectors)
        np.testing.assert_allclose(found[1:], oracle, atol=1e-5)
        assert not found[0].any()
        restored = through_a_checkpoint(items)
        raw = torch.from_numpy(vectors)
        assert torch.equal(restored.reduce(raw), items.reduce(raw))
        assert torch.equal(restored.encode_items("", restored.reduce(raw)),
                           items.ids[""].codes[1:, :2])  # fmt: skip
        with pytest.raises(InputError, match="not made from texts"):
            items.encode_texts(["red comb"])

    @pytest.mark.parametrize("dim", [6, 60])
    def test_embeddings_of_no_more_than_the_dimensions_asked_for(self, toy, dim, caplog):
        file, vectors = toy.write_embeddings()
        items = toy.run(item_embedding_file=file, text_embedding_dim=dim)
        np.testing.assert_array_equal(items.embeddings["text"].vectors[1:], vectors)
        assert items.embeddings["text"].encoder.pca is None
        assert ("have 6 dimensions only" in caplog.text) == (dim == 60)

    def test_import_with_collisions(self, toy):
        given = {token: [n % 7, n % 5] for n, token in enumerate(toy.tokens)}
        path = toy.folder / "given.json"
        path.write_text(json.dumps(given | {"unknown": [6, 4]}))
        items = toy.run(sid_file=str(path))
        assert items.ids[""].codes[1:, :2].tolist() == list(given.values())
        assert items.ids[""].codebook_sizes == [7, 5, 2]  # 35 IDs for 40 items
        assert items.reports[""]["distinct_ids"] == 35
        assert items.tokenizers == items.embeddings == {}
        with pytest.raises(InputError, match="without a tokenizer"):
            items.encode_items("", torch.ones(1, 3))

    def test_collisions_can_be_kept_by_models_that_need_no_unique_ids(self, toy):
        shared = Tokens(unique=False)
        items = toy.run(shared, collision="keep")
        codes = items.ids[""].codes[1:]
        assert torch.equal(codes, items.encode_items("", items.embeddings["text"].rows))
        assert len(codes.unique(dim=0)) == items.reports[""]["distinct_ids"] < NUM_ITEMS
        assert_equal_items(toy.run(shared, collision="keep"), items)  # from the cache
        restored = through_a_checkpoint(items)
        assert_equal_items(restored, items)
        assert not restored.ids[""].unique

    def test_all_other_models_need_unique_ids(self, toy):
        message = "collision should be one of append, reassign, sinkhorn, as TIGER tells"
        with pytest.raises(InputError, match=message):
            toy.run(collision="keep", model="TIGER")
        with pytest.raises(InputError, match="behavior_collision should be one of"):
            toy.run(Tokens(), Tokens("behavior"), behavior_collision="keep", model="EAGER")

    @pytest.mark.parametrize("form", ["codes", "letter"])
    @pytest.mark.parametrize("collision", ["append", "reassign"])
    def test_export_and_import(self, toy, form, collision):
        # sizes are read off the file: use every code
        items = toy.run(collision=collision, codebook_sizes=[4, 4, 4])
        path = toy.folder / "export.json"
        items.ids[""].to_json(path, items.tokens, form)
        imported = toy.run(sid_file=str(path), collision=collision)
        assert torch.equal(imported.ids[""].codes, items.ids[""].codes)

    def test_embeddings_judge_imported_ids(self, toy):
        path = toy.folder / "given.json"
        path.write_text(json.dumps({token: [i] for i, token in enumerate(toy.tokens)}))
        assert "cosine" not in toy.run(sid_file=str(path)).reports[""]["levels"][0]
        file, _ = toy.write_embeddings()
        items = toy.run(sid_file=str(path), item_embedding_file=file)
        assert "cosine" in items.reports[""]["levels"][0]


class TestCache:
    def test_second_run_fits_nothing_and_is_equal(self, toy, fits, caplog):
        with caplog.at_level(logging.INFO):
            first = toy.run()
            assert fits == ["TfidfEncoder", "RQKMeans"]
            assert "Semantic IDs written to" in caplog.text
            caplog.clear()
            second = toy.run()
        assert fits == ["TfidfEncoder", "RQKMeans"]
        assert "Item embeddings of tfidf from the cache" in caplog.text
        assert "RQKMeans: codes from the cache" in caplog.text
        assert "Semantic IDs from the cache" in caplog.text
        assert_equal_items(first, second)
        assert torch.equal(first.embeddings["text"].vectors, second.embeddings["text"].vectors)

    @pytest.mark.parametrize(
        "change", [{"seed": 2}, {"codebook_sizes": [4, 8]}, {"tokenizer_kmeans_iterations": 3}]
    )
    def test_other_tokenizer_settings_keep_the_embeddings(self, toy, fits, change):
        toy.run()
        toy.run(**change)
        assert fits == ["TfidfEncoder", "RQKMeans", "RQKMeans"]

    @pytest.mark.parametrize("change", [{"collision": "sinkhorn"}, {"append_size": 30}])
    def test_another_way_of_resolving_keeps_the_tokenizer(self, toy, fits, change):
        sizes = {"codebook_sizes": [4, 32]}
        first = toy.run(**sizes)
        second = toy.run(**sizes, **change)
        assert fits == ["TfidfEncoder", "RQKMeans"]
        assert first.ids[""].codebook_sizes != second.ids[""].codebook_sizes
        assert "revived_codewords" in second.reports[""]["tokenizer"]
        alone = toy.run(**sizes, **change, checkpoint_dir=str(toy.folder / "elsewhere"))
        assert_equal_items(second, alone)

    @pytest.mark.parametrize(
        "change",
        [{"learning_rate": 1}, {"text_batch_size": 7}, {"tokenizer_distillation_weight": 1}],
    )
    def test_settings_of_others_change_nothing(self, toy, fits, change):
        toy.run()
        before = toy.folders()
        toy.run(**change)
        assert fits == ["TfidfEncoder", "RQKMeans"]
        assert toy.folders() == before

    def test_weights_of_an_earlier_form_are_made_anew(self, toy, fits, monkeypatch):
        toy.run()
        monkeypatch.setattr(RQKMeans, "form", 2)
        toy.run()
        assert fits == ["TfidfEncoder", "RQKMeans", "RQKMeans"]

    def test_a_killed_training_goes_on_where_it_stopped(self, toy, monkeypatch):
        settings = {"tokenizer": "RQVAE", "tokenizer_epochs": 6}
        expected = toy.run(**settings, checkpoint_dir=str(toy.folder / "undisturbed"))
        monkeypatch.setattr("recbole_genrec.tokenizer.progress.SAVE_SECONDS", 0)
        epochs = []

        def killed(self, epoch):
            epochs.append(epoch)
            if epochs == [0, 1, 2, 3]:
                raise KeyboardInterrupt

        monkeypatch.setattr(RQVAE, "on_epoch_start", killed)
        with pytest.raises(KeyboardInterrupt):
            toy.run(**settings)
        items = toy.run(**settings)
        assert epochs == [0, 1, 2, 3, 3, 4, 5]
        assert_equal_items(items, expected)
        written = {path.name for path in (toy.folder / "saved").rglob("*") if path.is_file()}
        assert not {name for name in written if "progress" in name}

    def test_other_texts_or_dimensions_are_encoded_anew(self, toy, fits):
        toy.run()
        toy.run(text_embedding_dim=5)
        file = toy.folder / "toy.item"
        file.write_text(file.read_text().replace("red", "pink"))
        toy.run()
        assert fits == ["TfidfEncoder", "RQKMeans"] * 3

    def test_other_embedding_file_is_noticed(self, toy):
        file, vectors = toy.write_embeddings()
        first = toy.run(item_embedding_file=file)
        np.savez(file, ids=toy.tokens, embeddings=-vectors)
        second = toy.run(item_embedding_file=file)
        assert torch.equal(second.embeddings["text"].vectors, -first.embeddings["text"].vectors)

    @pytest.mark.parametrize(
        ("name", "again"),
        [
            ("tokenizer.pt", ["RQKMeans"]),
            ("codes.pt", ["RQKMeans"]),
            ("semantic_ids.pt", []),
            ("report.json", []),
            ("embeddings.npy", ["TfidfEncoder"]),
        ],
    )
    def test_truncated_file_is_rebuilt(self, toy, fits, name, again, caplog):
        first = toy.run()
        (path,) = (toy.folder / "saved").rglob(name)
        path.write_bytes(path.read_bytes()[:-3])
        with caplog.at_level(logging.WARNING):
            second = toy.run()
        assert f"is rebuilt: {name} has changed" in caplog.text
        assert fits == ["TfidfEncoder", "RQKMeans", *again]
        assert_equal_items(first, second)

    def test_killed_encoding_goes_on_where_it_stopped(self, toy, monkeypatch):
        monkeypatch.setattr(TfidfEncoder, "chunk", 8)
        expected = toy.run(checkpoint_dir=str(toy.folder / "elsewhere"))
        encoded, encode = [], TfidfEncoder.encode

        def dies_at_item_20(self, texts):
            if sum(map(len, encoded)) >= 20:
                raise KeyboardInterrupt
            encoded.append(texts)
            return encode(self, texts)

        monkeypatch.setattr(TfidfEncoder, "encode", dies_at_item_20)
        with pytest.raises(KeyboardInterrupt):
            toy.run()
        monkeypatch.setattr(
            TfidfEncoder, "encode", lambda self, texts: encoded.append(texts) or encode(self, texts)
        )
        items = toy.run()
        assert [text for chunk in encoded for text in chunk] == toy.texts  # each of them once
        vectors = expected.embeddings["text"].vectors
        assert torch.equal(items.embeddings["text"].vectors, vectors)


class TestCheckpoint:
    @pytest.mark.parametrize("tokenizer", ["RQKMeans", "RQVAE", "PQ"])
    def test_carries_what_encodes_new_items(self, toy, tokenizer):
        items = toy.run(tokenizer=tokenizer, tokenizer_epochs=2, text_embedding_dim=8)
        restored = through_a_checkpoint(items)
        assert_equal_items(items, restored)
        state, again = (tokenizer_state(one.tokenizers[""]) for one in (items, restored))
        assert state["settings"] == again["settings"]
        assert state["settings"]["tokenizer"] == tokenizer

    def test_imported_ids(self, toy):
        path = toy.folder / "given.json"
        path.write_text(json.dumps({token: [i] for i, token in enumerate(toy.tokens)}))
        items = toy.run(sid_file=str(path))
        restored = through_a_checkpoint(items)
        assert torch.equal(restored.ids[""].codes, items.ids[""].codes)
        assert restored.tokenizers == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": "RQVEA"}, r"tokenizer should be one of.*\[RQVEA\].*\[RQVAE\]"),
        ({"collision": "apend"}, r"collision should be one of append.*\[append\]"),
        ({"sid_file": "nowhere.json"}, r"sid_file: there is no file nowhere\.json"),
        ({"item_text_fields": ["name"]}, r"toy\.item has none of the columns \['name'\]"),
        ({"text_encoder": "tf-idf"}, r"did you mean \[tfidf\]"),
        ({"item_embedding_file": "nowhere.npz"}, r"there is no file nowhere\.npz"),
        ({"codebook_sizes": [64, 64]}, "40 items"),
    ],
)
def test_bad_input(toy, changes, message):
    with pytest.raises(InputError, match=message):
        toy.run(**changes)


def test_broken_embeddings_leave_no_cache(toy):
    file, vectors = toy.write_embeddings()
    vectors[3] = np.nan
    np.savez(file, ids=toy.tokens, embeddings=vectors)
    message = r"items\.npz: the embeddings of 1 item \(i4\) hold NaN"
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            toy.run(item_embedding_file=file)
    left = (toy.folder / "saved" / "semantic_ids").iterdir()
    assert all(path.name.endswith(".building") for path in left if path.is_dir())
