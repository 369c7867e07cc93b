"""Types and ranges of settings: what is refused before any data are read, and what is not."""

import sys

import numpy as np
import pytest

from recbole_genrec.config import Config
from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.registry import TOKENIZERS


def config(model="SASRec", **settings):
    return Config(model, "ml-100k", None, settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "TIGER", "d_model": "abc"}, r"d_model should be an integer >= 1, found \[abc\]"),
        ({"model": "TIGER", "d_model": 16.5}, r"d_model should be an integer >= 1, found \[16.5\]"),
        ({"model": "TIGER", "d_model": ""}, r"d_model should be an integer >= 1, found \[\]"),
        ({"model": "TIGER", "num_heads": 0}, r"num_heads should be an integer >= 1, found \[0\]"),
        ({"model": "TIGER", "dropout_rate": 1}, r"dropout_rate should be a number in \[0, 1\), fo"),
        ({"model": "TIGER", "clip_grad_norm": 1}, r"clip_grad_norm should be a dict or None, fo"),
        (
            {"clip_grad_norm": {"max_nrm": 1}},
            r"clip_grad_norm should be .* found \[{'max_nrm': 1}\]",
        ),
        ({"clip_grad_norm": {"max_norm": -1}}, r"clip_grad_norm should be .* max_norm above 0"),
        (
            {"model": "TIGER", "history_attention": "Causal"},
            r"\[Causal\]; did you mean \[causal\]",
        ),
        ({"model": "TIGER", "tokenizer": "RQVEA"}, r"found \[RQVEA\]; did you mean \[RQVAE\]\?"),
        (
            {"model": "TIGER", "tokenizer_hidden_sizes": 16},
            r"a list of integers >= 1, found",
        ),
        (
            {"model": "TIGER", "tokenizer_hidden_sizes": [8, "a"]},
            r"of integers >= 1, found \[\[8, 'a",
        ),
        ({"model": "TIGER", "text_encoder": 5}, r"text_encoder should be text, found \[5\]"),
        ({"learning_rate": "fast"}, r"learning_rate should be a finite number >= 0, found \[f"),
        ({"learning_rate": "None"}, r"learning_rate should be a finite number >= 0, found \[N"),
        ({"learning_rate": ".nan"}, r"learning_rate should be a finite number >= 0, found \[n"),
        ({"weight_decay": -1}, r"weight_decay should be a finite number >= 0, found \[-1"),
        ({"train_batch_size": True}, r"train_batch_size should be an integer >= 1, found \[Tr"),
        ({"eval_batch_size": 0}, r"eval_batch_size should be an integer >= 1, found \[0\]"),
        ({"epochs": "two"}, r"epochs should be an integer >= 0, found \[two\]"),
        ({"epochs": -1}, r"epochs should be an integer >= 0, found \[-1\]"),
        ({"seed": -1}, r"seed should be an integer in \[0, 4294967295\], found \[-1\]"),
        ({"checkpoint_step": 0}, r"checkpoint_step should be an integer >= 1 or None, found \[0"),
        ({"checkpoint_step": "a"}, r"checkpoint_step should be an integer >= 1 or None, found \[a"),
        ({"resume": True}, r"resume should be text or None, found \[True\]"),
        ({"use_gpu": "maybe"}, r"use_gpu should be True or False, found \[maybe\]"),
        ({"gpu_id": "abc"}, r"gpu_id should be the numbers of GPUs, such as 0,1, found \[abc\]"),
        ({"loss_type": "XX"}, r"loss_type should be one of BPR, CE, found \[XX\]"),
        ({"metrics": 5}, r"metrics should be a name or a list of them, found \[5\]"),
        ({"metrics": ["NDCG", 5]}, r"metrics should be .* found \[\['NDCG', 5\]\]"),
        ({"TIME_FIELD": 5}, r"TIME_FIELD should be text or None, found \[5\]"),
        ({"topk": (5, "x")}, r"topk should be .* found \[\[5, 'x'\]\]"),
    ],
    ids=str,
)
def test_values_that_cannot_work_get_one_clear_error(settings, message):
    with pytest.raises(InputError, match=message):
        config(**settings)


def test_wandb_must_be_there_where_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    with pytest.raises(InputError, match="log_wandb needs the package wandb"):
        config(log_wandb=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 1, "weight_decay": 0},
        {"epochs": 0, "eval_step": 0, "stopping_step": 0},
        {"use_gpu": 0, "shuffle": "true"},
        {"gpu_id": "0, 1", "use_gpu": False},
        {"gpu_id": [0, 1], "use_gpu": False},
        {"gpu_id": "-1", "use_gpu": False},
        {"gpu_id": "MIG-4f1c/1/0", "use_gpu": False},
        {"load_col": None, "state": None, "RATING_FIELD": None},
        {"metrics": "NDCG", "topk": 10},
        {"user_inter_num_interval": None, "item_inter_num_interval": "[3,inf)"},
        {"model": "DCN", "reg_weight": 0.5, "mlp_hidden_size": (8, 8)},  # (int) in its file
        {"model": "AsymKNN", "q": 0.5},  # 1 and without a comment in its file
        {"model": "GRU4RecKG", "additional_feat_suffix": ["ent"]},
        {"model": "TIGER", "append_size": 7, "clip_grad_norm": None, "text_embedding_dim": None},
    ],
    ids=str,
)
def test_what_a_setting_may_be_is_let_through(settings):
    made = config(**settings)
    for key in settings.keys() - {"use_gpu", "shuffle", "gpu_id", "metrics", "topk"}:
        assert made[key] == settings[key]


def test_a_tokenizer_is_known_once_it_is_registered(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"tokenizer should be one of RQVAE, .*, LSH, found \[M"):
        config(model="TIGER", tokenizer="Mine")
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "my_module.py").write_text(
        "from recbole_genrec.tokenizer.rqkmeans import RQKMeans\n\n"
        "class Mine(RQKMeans):\n    pass\n"
    )
    (tmp_path / "my_package" / "Mine.yaml").write_text("append_size: 7")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(TOKENIZERS, "Mine", "my_package.my_module")
    made = config(model="TIGER", tokenizer="Mine")
    assert (made["tokenizer"], made["append_size"]) == ("Mine", 7)
    assert made["tokenizer_kmeans_iterations"] == 20  # of the tokenizer that it inherits from


def test_tuples_and_numbers_of_numpy_are_as_good_as_pythons():
    made = config(topk=(np.int64(5), 10), epochs=np.int32(3), learning_rate=np.float64(0.1))
    assert made.as_dict()["topk"] == [5, 10]
    assert type(made["epochs"]) is int and type(made["learning_rate"]) is float
