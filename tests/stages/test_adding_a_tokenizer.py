"""The page on tokenizers, and what models may ask of the items, through the doors."""

import sys

import pytest
import torch

from recbole_genrec.config import Config
from recbole_genrec.errors import InputError
from recbole_genrec.items.needs import Tokens
from recbole_genrec.model.tiger import TIGER
from recbole_genrec.quick_start import prepare_data, run_recbole_genrec
from recbole_genrec.runs.checkpoint import load_checkpoint
from recbole_genrec.stages.collaborative import teacher_config
from recbole_genrec.tokenizer.registry import TOKENIZERS
from tests.documents import blocks, page
from tests.resume_cases import SETTINGS
from tests.small import NAME, toy_config, write_toy

TEACHER = {
    "teacher_hidden_size": 8,
    "teacher_epochs": 1,
    "teacher_train_batch_size": 64,
    "teacher_config": {"n_layers": 1, "inner_size": 8},
}
SMALL = {
    **SETTINGS["TIGER"],
    **TEACHER,
    "item_text_fields": ["title", "brand"],
    "show_progress": False,
}


class TwoTongues(TIGER):
    """A toy model with two sets of IDs; it trains on the first."""

    @classmethod
    def needs(cls, config):
        return Tokens(), Tokens("behavior", embeddings="collaborative")


@pytest.fixture
def data_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_toy(tmp_path, missing=False)


@pytest.fixture
def of_the_page(tmp_path, monkeypatch):
    """The module of the page, imported from a folder of its own."""
    text = page("adding-a-tokenizer")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "aligned_rqvae.py").write_text(blocks(text, "python")[0].text)
    (tmp_path / "elsewhere" / "AlignedRQVAE.yaml").write_text(blocks(text, "yaml")[0].text)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    import aligned_rqvae

    yield aligned_rqvae
    TOKENIZERS.pop("AlignedRQVAE")
    sys.modules.pop("aligned_rqvae")


def test_the_tokenizer_of_the_page_reads_the_teacher(data_path, of_the_page):
    settings = {**SMALL, "tokenizer": "AlignedRQVAE", "codebook_sizes": [4, 4]}
    settings |= {"tokenizer_epochs": 3, "tokenizer_hidden_sizes": [16], "tokenizer_code_dim": 8}
    config = toy_config("TIGER", data_path, **settings)
    assert config["tokenizer_alignment_weight"] == 0.1
    assert config["teacher_model"] == "SASRec"
    items = prepare_data(config)[0].dataset.items
    assert isinstance(items.tokenizers[""], of_the_page.AlignedRQVAE)
    assert items.embeddings["collaborative"].vectors.shape == (len(items.tokens), 8)

    other = toy_config("TIGER", data_path, **settings, tokenizer_alignment_weight=100.0)
    aligned = prepare_data(other)[0].dataset.items
    distances = [
        (of_the_page.cosines(one.tokenizers[""].to_latent(one.embeddings["text"].rows))
         - of_the_page.cosines(one.embeddings["collaborative"].rows)).square().mean()
        for one in (items, aligned)
    ]  # fmt: skip
    assert distances[1] < distances[0]


def test_the_settings_of_the_page_are_those_of_a_teacher(of_the_page, monkeypatch):
    taken = []

    def tokenize(dataset, names, config_dict):
        config = Config("TIGER", dataset, None, {**config_dict, "tokenizer": "AlignedRQVAE"})
        taken.append(teacher_config(config, "."))

    monkeypatch.setattr("recbole_genrec.commands.tokenize.tokenize", tokenize)
    exec(blocks(page("adding-a-tokenizer"), "python")[1].text, {})
    (teacher,) = taken
    assert teacher["model"] == "SASRecOnePass"
    assert (teacher["hidden_size"], teacher["train_batch_size"], teacher["epochs"]) == (64, 32, 30)


def test_settings_of_the_teacher_stand_where_they_are_read(data_path):
    assert toy_config("TIGER", data_path)["teacher_model"] is None
    assert toy_config("UniGRec", data_path, epochs=20)["teacher_model"] == "SASRec"
    assert toy_config(TwoTongues, data_path)["teacher_model"] == "SASRec"
    weights = {"tokenizer_distillation_weight": 0, "recommender_distillation_weight": 0}
    assert toy_config("UniGRec", data_path, epochs=20, **weights)["teacher_model"] is None


def test_a_model_with_two_sets_of_ids(data_path):
    sets = {"tokenizer": "RQKMeans", "codebook_sizes": [4, 4], "behavior_codebook_sizes": [8, 16]}
    sets |= {"behavior_tokenizer": "PQ", "behavior_collision": "reassign"}
    config = toy_config(TwoTongues, data_path, **{**SMALL, **sets})
    result = run_recbole_genrec(TwoTongues, NAME, config_dict=config.external_config_dict)
    assert result["test_result"]
    (checkpoint,) = [
        file for file in (data_path / "saved").glob("*.pth") if "last" not in file.name
    ]
    items = load_checkpoint(checkpoint)["extra"]["items"]
    assert items["ids"].keys() == items["reports"].keys() == {"", "behavior"}
    assert items["ids"][""]["codebook_sizes"][:2] == [4, 4]
    behavior = torch.as_tensor(items["ids"]["behavior"]["codes"])
    assert items["ids"]["behavior"]["codebook_sizes"] == [8, 16]
    assert behavior.amax(0)[1] > 7
    assert items["tokenizers"]["behavior"]["settings"]["tokenizer"] == "PQ"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"behavior_tokenizr": "PQ"}, r"unknown key \[behavior_tokenizr\].*behavior_tokenizer"),
        ({"behavior_tokenizer": "PQQ"}, "behavior_tokenizer should be one of"),
        ({"behavior_append_size": 0}, "behavior_append_size should be"),
        ({"behavior_text_encoder": "tfidf"}, r"unknown key \[behavior_text_encoder\]"),
        ({"behavior_teacher_epochs": 1}, r"unknown key \[behavior_teacher_epochs\]"),
    ],
)
def test_settings_of_a_set_are_checked_like_those_of_the_main_one(data_path, settings, message):
    with pytest.raises(InputError, match=message):
        toy_config(TwoTongues, data_path, **settings)


def test_a_model_without_the_set_has_no_such_settings(data_path):
    with pytest.raises(InputError, match=r"unknown key \[behavior_tokenizer\]"):
        Config("TIGER", NAME, config_dict={"data_path": str(data_path), "behavior_tokenizer": "PQ"})
