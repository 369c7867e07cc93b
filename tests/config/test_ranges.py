"""Ranges and choices of our settings and of RecBole's: refused with these very words."""

import pytest

from recbole_genrec.config import Config
from recbole_genrec.config.kinds import parse_kinds
from recbole_genrec.config.schema import RECBOLE_KINDS, read_settings
from recbole_genrec.config.yaml_files import properties_dir
from recbole_genrec.errors import InputError

SASREC = {"model": "SASRec"}
TIGER = {"model": "TIGER"}
SOFT = {"model": "UniGRec"}


def made(settings):
    settings = dict(settings)
    return Config(settings.pop("model"), "ml-100k", None, settings)


@pytest.mark.parametrize(
    ("model", "key", "value", "expected"),
    [
        (SASREC, "MAX_ITEM_LIST_LENGTH", 0, "an integer >= 1"),
        (SASREC, "eval_step", -1, "an integer >= 0"),
        (SASREC, "hidden_dropout_prob", 1.1, "a number in [0, 1)"),
        (SASREC, "seed", 2**32, "an integer in [0, 4294967295]"),
        (SASREC, "nproc", 0, "an integer >= 1"),
        (SASREC, "nproc", True, "an integer >= 1"),
        (SASREC, "offset", -1, "an integer >= 0"),
        (SASREC, "port", 70000, "an integer in [0, 65535] or None"),
        (SASREC, "valid_users", 0, "an integer >= 1 or None"),
        (TIGER, "valid_beam_size", 0, "an integer >= 1 or None"),
        (SASREC, "warmup_ratio", -0.1, "a number in [0, 1]"),
        (SASREC, "strict_config", "maybe", "True or False"),
        (TIGER, "beam_size", 0, "an integer >= 1"),
        (TIGER, "dropout_rate", 1.0, "a number in [0, 1)"),
        (TIGER, "codebook_sizes", 256, "a list of integers >= 1"),
        (TIGER, "codebook_sizes", [8, 0], "a list of integers >= 1"),
        (TIGER, "codebook_sizes", [], "a list of integers >= 1"),
        (TIGER, "item_text_fields", [1], "a list of texts or None"),
        (TIGER, "append_size", 0, "an integer >= 1 or None"),
        (TIGER, "tokenizer_epochs", 0, "an integer >= 1"),
        (TIGER, "tokenizer_loss_reduction", "max", "one of sum, mean"),
        (TIGER, "tokenizer_clip_grad_norm", 0, "a finite number > 0 or None"),
        (TIGER, "tokenizer_warmup_ratio", 1.5, "a number in [0, 1]"),
        (TIGER, "tokenizer_revive_every", -1, "an integer >= 0"),
        (TIGER, "rank_temperature", 0, "a finite number > 0"),
        (TIGER, "pos_last_weight", -1, "a finite number >= 0"),
        (TIGER, "cft_weight", "much", "a finite number >= 0"),
        (TIGER, "igd_weight", -0.1, "a finite number >= 0"),
        (TIGER, "front_greater_form", "papr", "one of paper, released"),
        (TIGER, "front_greater_decay", -1, "a finite number >= 0"),
        (TIGER, "frequency_beta", 1, "a number in (0, 1)"),
        (TIGER, "frequency_max", 1.5, "a number in [0, 1]"),
        (TIGER, "curriculum_rate", 0, "a finite number > 0"),
        (SOFT, "tokenizer_temperature_min", 0, "a finite number >= 1e-6"),
        (SOFT, "teacher_config", 3, "a dict or None"),
    ],
)
def test_a_value_out_of_range_is_refused_in_these_words(model, key, value, expected):
    with pytest.raises(InputError) as error:
        made({**model, key: value})
    message, _, hint = str(error.value).partition("; did you mean ")
    assert message == f"{key} should be {expected}, found [{value}]"
    assert hint == ("[paper]?" if value == "papr" else "")


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "TIGER", "loss": "rank", "rank_temperature": 1},
        {"model": "TIGER", "loss": "RANK"},
        {"model": "TIGER", "dropout_rate": 0, "codebook_sizes": (4, 4)},
        {"model": "UniGRec", "teacher_config": None, "finetune_epochs": 0},
        {"model": "SASRec", "beam_size": 30},  # as in a comparison with TIGER
        {"model": "TIGER", "lr_scheduler": None, "train_neg_sample_args": None},
    ],
    ids=str,
)
def test_bounds_themselves_are_in_range(settings):
    config = made(settings)
    for key in settings.keys() - {"model", "train_neg_sample_args"}:
        assert config[key] == settings[key]


def test_the_loss_is_named_before_any_work():
    with pytest.raises(InputError, match=r"^loss should be one of cross_entropy, .* \[rank\]\?$"):
        made({"model": "TIGER", "loss": "rnk"})


def test_generating_models_learn_without_negatives():
    assert made(TIGER)["train_neg_sample_args"]["distribution"] == "none"
    with pytest.raises(InputError, match="train_neg_sample_args should be None for TIGER, which"):
        made({**TIGER, "train_neg_sample_args": {"distribution": "uniform"}})


def words(kinds):
    return " or ".join(map(str, kinds))


def test_comments_of_a_key_agree():
    """One range for each key, and the same types wherever it is set again."""
    stated = {key: words(parse_kinds(text)) for key, text in RECBOLE_KINDS.items()}
    types: dict[str, set] = {}
    for file in sorted(properties_dir().rglob("*.yaml")):
        for key, setting in read_settings(file).items():
            names = frozenset((kind.name, kind.many) for kind in setting.kinds)
            types.setdefault(key, set()).add(names - {("None", False)})
            kinds = words(setting.kinds)
            if any(kind.range for kind in setting.kinds):
                assert stated.setdefault(key, kinds) == kinds, (file, key)
    assert {key for key, found in types.items() if len(found) > 1} == set()
