"""Settings that SemanticSASRec refuses before any work."""

import pytest

from recbole_genrec.errors import InputError
from recbole_genrec.model.semantic_sasrec import SemanticSASRec
from tests.small import prepare, toy_config, write_toy

CASES = [
    ({"further_ids": ["a", "a"]}, "further_ids should be a list of names, each once"),
    ({"further_ids": ["no name"]}, "further_ids should be a list of names, each once"),
    (
        {"further_ids": ["a"], "item_vectors": ["own"]},
        "further_ids should be empty, as item_vectors hold no codes",
    ),
    (
        {"own_vector_dropout": 0.5, "item_vectors": ["codes"]},
        "own_vector_dropout should be 0, as item_vectors hold no own",
    ),
    (
        {"item_vectors": ["codes", "neighbors"]},
        r"item_vectors should be .* found \[\['codes', 'neighbors'\]\]",
    ),
    ({"hidden_size": 30, "n_heads": 4}, r"hidden_size should be a multiple of n_heads \[4\]"),
]


@pytest.mark.parametrize(("settings", "message"), CASES)
def test_parts_that_do_not_go_together(settings, message, tmp_path):
    config = toy_config("SemanticSASRec", write_toy(tmp_path), **settings)
    with pytest.raises(InputError, match=message):
        SemanticSASRec.check_config(config)


@pytest.mark.parametrize("key", ["embedding", "attn", "hidden"])
@pytest.mark.parametrize("model", ["SemanticSASRec", "RPG"])
def test_dropout_leaves_something(model, key, tmp_path):
    with pytest.raises(InputError, match=rf"{key}_dropout_prob should be a number in \[0, 1\)"):
        toy_config(model, write_toy(tmp_path), **{f"{key}_dropout_prob": 1.0})


def test_a_further_set_is_called_by_its_key(tmp_path):
    settings = {"further_ids": ["llm"], "llm_sid_file": "nowhere.json", "codebook_sizes": [4, 4]}
    text = {"item_text_fields": ["title"]}
    config = toy_config("SemanticSASRec", write_toy(tmp_path), **settings, **text)
    with pytest.raises(InputError, match=r"llm_sid_file: there is no file nowhere\.json"):
        prepare(config)
