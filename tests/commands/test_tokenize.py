"""The stage as a command: several tokenizers of one data set, compared and exported."""

import json
import logging

import numpy as np
import pytest
import torch

from recbole_genrec.commands.tokenize import tokenize
from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A toy data set on disk and what makes its stage quick."""
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


def test_compares_and_exports(settings, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        stages = tokenize("toy", "RQKMeans, Random", config_dict=settings)
    assert list(stages) == ["RQKMeans", "Random"]
    table = caplog.text[caplog.text.index("Comparison on toy") :]
    assert "RQKMeans" in table and "Random" in table
    for name, stage in stages.items():
        for suffix in ("sid", "index"):
            path = tmp_path / "saved" / "semantic_ids" / f"toy-{name}.{suffix}.json"
            assert set(json.loads(path.read_text())) == {f"i{item}" for item in range(30)}
            imported = SemanticIDs.from_json(path, stage.item_tokens)
            assert torch.equal(imported.codes, stage.semantic_ids.codes)


def test_tokenizer_of_the_settings(settings):
    stages = tokenize("toy", config_dict={**settings, "tokenizer": "LSH"})
    assert list(stages) == ["LSH"]


def test_unknown_tokenizer_is_named_before_any_is_built(settings, tmp_path):
    with pytest.raises(InputError, match=r"\[RQKMean\].*RQKMeans"):
        tokenize("toy", ["Random", "RQKMean"], config_dict=settings)
    assert not (tmp_path / "saved" / "semantic_ids").exists()
