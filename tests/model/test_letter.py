"""LETTER is TIGER with another tokenizer and loss; the tokenizer is tested in tests/tokenizer."""

import pytest

from recbole_genrec.errors import InputError
from recbole_genrec.stages.collaborative import CollaborativeEmbeddings
from recbole_genrec.tokenizer.letter import LETTER
from tests.resume_cases import SETTINGS
from tests.small import new_trainer, prepare, toy_config, write_toy


@pytest.mark.parametrize("model", ["LETTER", "DiscRec"])
def test_its_ids_follow_collaborative_embeddings(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extra = {"item_num_heads": 2} if model == "DiscRec" else {}
    settings = {**SETTINGS["LETTER"], **extra, "tokenizer": "LETTER"}
    run = prepare(toy_config(model, write_toy(tmp_path, missing=False), **settings))
    trainer = new_trainer(run)
    items = trainer.model.items
    assert isinstance(items.tokenizers[""], LETTER)
    assert items.embeddings["collaborative"].vectors.shape == (41, 4)
    trainer.fit(run.train, run.valid)
    assert trainer.evaluate(run.test)["recall@5"] >= 0


def test_its_loss_is_the_ranking_loss(tmp_path):
    config = toy_config("LETTER", write_toy(tmp_path))
    assert (config["loss"], config["rank_temperature"]) == ("rank", 0.7)


@pytest.mark.parametrize("model", ["LETTER", "DiscRec"])
def test_widths_are_checked_before_anything_is_trained(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr(CollaborativeEmbeddings, "run")  # it is not even called
    settings = {**SETTINGS["LETTER"], "tokenizer": "LETTER", "teacher_hidden_size": 16}
    config = toy_config(model, write_toy(tmp_path), **settings)
    expected = r"teacher_hidden_size should be tokenizer_code_dim \[4\], unless .* found \[16\]"
    with pytest.raises(InputError, match=expected):
        prepare(config)
