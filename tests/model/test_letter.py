"""LETTER is TIGER with another tokenizer and loss; the tokenizer is tested in tests/tokenizer."""

import pytest

from recbole_genrec.errors import InputError
from recbole_genrec.model.letter import LETTER
from recbole_genrec.tokenizer.letter import LETTER as LETTERTokenizer
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
    assert isinstance(items.tokenizers[""], LETTERTokenizer)
    assert items.embeddings["collaborative"].vectors.shape == (41, 4)
    trainer.fit(run.train, run.valid)
    assert trainer.evaluate(run.test)["recall@5"] >= 0


def test_its_loss_is_the_ranking_loss(tmp_path):
    config = toy_config("LETTER", write_toy(tmp_path))
    assert (config["loss"], config["rank_temperature"]) == ("rank", 0.7)


def test_widths_are_checked_before_anything_is_trained(tmp_path):
    config = toy_config("LETTER", write_toy(tmp_path), teacher_hidden_size=16)
    expected = r"teacher_hidden_size should be tokenizer_code_dim \[32\], found \[16\]"
    with pytest.raises(InputError, match=expected):
        LETTER.check_config(config)
