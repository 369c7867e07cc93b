"""Stages in a row: their order, checks before any work, what is read how often, several sets."""

import json
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.items import embedding_file
from recbole_genrec.items.needs import Embeddings, Tokens
from recbole_genrec.stages.collaborative import CollaborativeEmbeddings
from recbole_genrec.stages.plan import Plan
from recbole_genrec.stages.text import GivenEmbeddings, ReadItems, TextEmbeddings
from recbole_genrec.stages.tokenizer import TokenizerStage
from recbole_genrec.tokenizer.registry import TOKENIZERS, register_tokenizer
from recbole_genrec.tokenizer.rqkmeans import RQKMeans

COLLABORATIVE = Embeddings("collaborative")


class Guided(RQKMeans):
    """A toy tokenizer: residual k-means of the embeddings plus the norms of collaborative ones."""

    side = ("collaborative",)

    def __init__(self, config: Mapping, dim: int):
        super().__init__(config, dim)
        self.register_buffer("shift", torch.zeros(()))

    def _fit(self, embeddings: Tensor, *, collaborative: Tensor) -> None:
        self.shift.copy_(collaborative.norm(dim=1).mean())
        super()._fit(embeddings + self.shift)

    def to_latent(self, embeddings: Tensor) -> Tensor:
        return embeddings + self.shift

    def from_latent(self, latent: Tensor) -> Tensor:
        return latent - self.shift


@pytest.fixture(autouse=True)
def _registered():
    register_tokenizer(Guided)
    yield
    TOKENIZERS.pop("Guided")


@pytest.fixture
def given(toy):
    """Settings that bring collaborative embeddings from a file; and these `[n, 5]`."""
    file, vectors = toy.write_embeddings(dim=5, file="teacher.npz", seed=2)
    return {"teacher_embedding_file": file}, vectors


def names(toy, *needs, **changes):
    """The stages by class, those of tokens by the name of their set."""
    plan = Plan(toy.settings(**changes), toy.dataset, needs)
    return [
        stage.need.name or "main" if isinstance(stage, TokenizerStage) else type(stage)
        for stage in plan.stages
    ]


class TestOrder:
    def test_embeddings_come_before_the_tokens_made_of_them(self, toy):
        assert names(toy, Tokens()) == [ReadItems, TextEmbeddings, "main"]

    def test_in_the_order_of_the_needs_each_once(self, toy):
        text = Embeddings("text")
        assert names(toy, Tokens(), COLLABORATIVE, text) == [
            ReadItems,
            TextEmbeddings,
            "main",
            CollaborativeEmbeddings,
        ]
        assert names(toy, COLLABORATIVE, Tokens()) == [
            ReadItems,
            CollaborativeEmbeddings,
            TextEmbeddings,
            "main",
        ]

    def test_a_side_of_the_tokenizer_comes_before_it(self, toy):
        expected = [ReadItems, TextEmbeddings, CollaborativeEmbeddings, "main"]
        assert names(toy, Tokens(), tokenizer="Guided") == expected
        assert names(toy, Tokens(), COLLABORATIVE, tokenizer="Guided") == expected

    def test_codes_of_collaborative_embeddings_need_no_texts(self, toy):
        need = Tokens("behavior", embeddings="collaborative")
        assert names(toy, need) == [ReadItems, CollaborativeEmbeddings, "behavior"]
        stages = Plan(toy.settings(), toy.dataset, [need]).stages
        assert not stages[0].needs_texts

    def test_imported_ids_need_embeddings_only_where_they_are_given(self, toy):
        assert names(toy, Tokens(), sid_file="ids.json") == [ReadItems, "main"]
        given = {"sid_file": "ids.json", "item_embedding_file": "items.npz"}
        assert names(toy, Tokens(), **given) == [ReadItems, GivenEmbeddings, "main"]

    def test_unknown_embeddings_are_refused(self, toy):
        with pytest.raises(InputError, match=r"embeddings should be .*text.*\[texts\].*\[text\]"):
            names(toy, Embeddings("texts"))


class TestChecks:
    """Nothing is computed where any stage cannot work."""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"sid_file": "nowhere.json"}, "sid_file: there is no file nowhere"),
            ({"codebook_sizes": [3, 4], "tokenizer": "LSH"}, "powers of two"),
            ({"tokenizer": "RQVAE", "tokenizer_epochs": 0}, "tokenizer_epochs"),
            ({"tokenizer": "RQVAE", "tokenizer_loss_reduction": "max"}, "tokenizer_loss_reduction"),
            ({"tokenizer": "SoftRQVAE", "tokenizer_temperature_min": 1.0}, "tokenizer_temperature"),
            ({"teacher_embedding_file": "nowhere.npz"}, "teacher_embedding_file: there is no file"),
            ({"teacher_checkpoint": "a", "teacher_embedding_file": "b"}, "one of teacher_checkp"),
            ({"teacher_embedding_file": None, "teacher_embedding_ids": "b"}, "teacher_embedding_i"),
            (
                {"teacher_embedding_file": None, "teacher_checkpoint": "a"},
                "teacher_checkpoint: there",
            ),
            ({"item_embedding_file": "nowhere.npz"}, "item_embedding_file: there is no file"),
            ({"text_encoder": "tf-idf"}, r"did you mean \[tfidf\]"),
            ({"ITEM_ID_FIELD": "id"}, "has no column 'id'"),
        ],
        ids=str,
    )
    def test_come_before_any_work(self, toy, given, fits, parses, changes, message):
        with pytest.raises(InputError, match=message):
            toy.run(Tokens(), COLLABORATIVE, **{**given[0], **changes})
        assert fits == parses == []
        assert not (toy.folder / "saved").exists()

    def test_imported_codes_are_checked_against_the_items(self, toy, given, fits):
        path = toy.folder / "ids.json"
        path.write_text(json.dumps({token: [1] for token in toy.tokens[1:]}))
        with pytest.raises(InputError, match="no semantic ID for 1 of 40 items: i1"):
            toy.run(COLLABORATIVE, Tokens(), sid_file=str(path), **given[0])


class TestReading:
    def test_the_item_file_is_parsed_once(self, toy, parses):
        sizes = {"behavior_codebook_sizes": [8, 16]}
        toy.run(Tokens(), Tokens("behavior"), Embeddings("text"), **sizes)
        assert parses == ["toy.item"]

    def test_titles_are_read_where_texts_are_not_needed(self, toy, parses):
        file, _ = toy.write_embeddings()
        items = toy.run(item_embedding_file=file)
        assert parses == ["toy.item"]
        assert items.titles == ["", *toy.texts]

    @pytest.mark.parametrize("lacking", [{"item_text_fields": None}, {"item_text_fields": "name"}])
    def test_titles_may_be_lacking(self, toy, lacking):
        file, _ = toy.write_embeddings()
        assert toy.run(item_embedding_file=file, **lacking).titles is None

    def test_no_item_file_is_needed_for_embeddings(self, toy):
        file, _ = toy.write_embeddings()
        (toy.folder / "toy.item").unlink()
        assert toy.run(item_embedding_file=file).titles is None

    def test_a_broken_item_file_is_told_of_in_any_case(self, toy):
        file, _ = toy.write_embeddings()
        with open(toy.folder / "toy.item", "a") as item_file:
            item_file.write("i1\tagain\n")
        with pytest.raises(InputError, match="1 items have more than one row"):
            toy.run(item_embedding_file=file)

    def test_embedding_files_are_read_once(self, toy, given, monkeypatch):
        calls, read = [], embedding_file._read

        def counted(path, *args):
            calls.append(path.name)
            return read(path, *args)

        monkeypatch.setattr(embedding_file, "_read", counted)
        file, _ = toy.write_embeddings()
        toy.run(Tokens(), COLLABORATIVE, item_embedding_file=file, **given[0])
        assert calls == ["items.npz", "teacher.npz"]

    def test_texts_are_not_kept(self, toy):
        assert toy.run().texts == []


class TestSide:
    def test_the_tokenizer_reads_it_in_the_order_of_the_items(self, toy, given):
        settings, vectors = given
        items = toy.run(tokenizer="Guided", **settings)
        expected = np.linalg.norm(vectors, axis=1).mean()
        assert items.tokenizers[""].shift.item() == pytest.approx(expected)

    def test_other_collaborative_embeddings_are_another_result(self, toy, given, fits):
        settings, vectors = given
        toy.run(tokenizer="Guided", **settings)
        toy.run(tokenizer="Guided", **settings)
        assert fits == ["TfidfEncoder", "RQKMeans"]
        np.savez(settings["teacher_embedding_file"], ids=toy.tokens, embeddings=2 * vectors)
        items = toy.run(tokenizer="Guided", **settings)
        assert fits == ["TfidfEncoder", "RQKMeans", "RQKMeans"]
        expected = 2 * np.linalg.norm(vectors, axis=1).mean()
        assert items.tokenizers[""].shift.item() == pytest.approx(expected)

    def test_they_mean_nothing_to_a_tokenizer_without_a_side(self, toy, given, fits):
        toy.run(Tokens())
        toy.run(COLLABORATIVE, Tokens(), **given[0])
        assert fits == ["TfidfEncoder", "RQKMeans"]

    def test_a_side_that_is_not_given_is_named(self, toy):
        tokenizer = Guided(toy.settings(), 3)
        with pytest.raises(InputError, match=r"side embeddings \['collaborative'\], got \[\]"):
            tokenizer.fit(torch.randn(10, 3))
        with pytest.raises(InputError, match="9 collaborative embeddings for 10 item embeddings"):
            tokenizer.fit(torch.randn(10, 3), collaborative=torch.randn(9, 3))
        with pytest.raises(InputError, match="RQKMeans reads the side embeddings"):
            RQKMeans(toy.settings(), 3).fit(torch.randn(10, 3), collaborative=torch.randn(10, 3))


class TestSeveralSets:
    needs = (Tokens(), Tokens("behavior", embeddings="collaborative"))

    def test_codes_of_both_embeddings(self, toy, given):
        settings, vectors = given
        own = {"behavior_codebook_sizes": [8, 16], "behavior_collision": "reassign"}
        items = toy.run(*self.needs, **settings, **own, codebook_sizes=[4, 16])
        assert items.ids.keys() == items.tokenizers.keys() == items.reports.keys()
        assert items.ids.keys() == {"", "behavior"}
        assert items.ids[""].codebook_sizes[:2] == [4, 16]
        assert items.ids["behavior"].codebook_sizes == [8, 16]
        rows = torch.from_numpy(vectors)
        assert items.embeddings["collaborative"].vectors[1:].equal(rows)
        codes = items.encode_items("behavior", rows)
        distinct = codes.unique(dim=0)
        assert items.reports["behavior"]["distinct_ids"] == len(distinct)

    def test_what_is_not_given_is_that_of_the_main_set(self, toy, given):
        settings, _ = given
        items = toy.run(
            *self.needs, **settings, codebook_sizes=[8, 8], tokenizer_kmeans_iterations=3
        )
        main, behavior = items.tokenizers[""].settings, items.tokenizers["behavior"].settings
        assert main == behavior
        assert main["tokenizer_kmeans_iterations"] == 3

    def test_another_tokenizer_brings_its_own_defaults(self, toy, given):
        settings, _ = given
        items = toy.run(
            *self.needs, **settings, tokenizer="LSH", behavior_tokenizer="RQKMeans", seed=3
        )
        found = items.tokenizers["behavior"].settings
        assert found["tokenizer_kmeans_sample"] == 65536
        assert found["codebook_sizes"] == [4, 4]  # the main set's

    def test_each_has_its_own_file_of_given_ids(self, toy, given):
        settings, _ = given
        path = toy.folder / "ids.json"
        path.write_text(json.dumps({token: [i] for i, token in enumerate(toy.tokens)}))
        main = toy.run(*self.needs, **settings, sid_file=str(path))
        assert main.tokenizers.keys() == {"behavior"}
        behavior = toy.run(*self.needs, **settings, behavior_sid_file=str(path))
        assert behavior.tokenizers.keys() == {""}
        assert behavior.ids["behavior"].codes.equal(main.ids[""].codes)

    def test_a_copy_of_another_set_is_refused_before_any_work(self, toy, fits):
        needs = (Tokens(), Tokens("second"), Tokens("third"))
        with pytest.raises(InputError, match="of second would be those of the main set"):
            toy.run(*needs, third_codebook_sizes=[8, 8])
        alike = {"second_codebook_sizes": [8, 8], "third_codebook_sizes": [8, 8]}
        with pytest.raises(InputError, match="of third would be those of second: .*third_sid_file"):
            toy.run(*needs, **alike)
        assert not fits
        items = toy.run(*needs, **alike, third_tokenizer="Random")
        assert items.ids["third"].codebook_sizes[:2] == [8, 8]

    def test_each_is_cached(self, toy, given, fits):
        settings, _ = given
        toy.run(*self.needs, **settings)
        toy.run(*self.needs, **settings, behavior_codebook_sizes=[8, 8])
        assert fits == ["TfidfEncoder", "RQKMeans", "RQKMeans", "RQKMeans"]
        folders = [name for name in toy.folders() if name == "toy-RQKMeans"]
        assert len(folders) == 3
