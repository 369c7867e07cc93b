"""Settings of UniGRec that cannot work, with the messages that the user will read."""

import pytest

from recbole_genrec.config import Config
from recbole_genrec.errors import InputError
from recbole_genrec.model.unigrec import UniGRec


def test_the_default_settings_pass():
    UniGRec.check_config(Config("UniGRec", "ml-100k"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer": "RQVAE"}, "tokenizer: UniGRec needs SoftRQVAE, found RQVAE"),
        ({"collision": "reassign"}, "collision: .* needs append, found reassign"),
        ({"sid_file": "ids.json"}, r"sid_file: .* given semantic IDs \(ids.json\)"),
        ({"finetune_epochs": -1}, r"finetune_epochs should be an integer >= 0, found \[-1\]"),
        ({"finetune_epochs": 0.5}, r"finetune_epochs should be an integer >= 0, found \[0.5\]"),
        (
            {"reconstruction_weight": "much"},
            r"weight should be a finite number >= 0, found \[m",
        ),
        (
            {"tokenizer_distillation_weight": ".inf"},
            r"_weight .* finite number >= 0, found \[i",
        ),
        (
            {"distillation_temperature": ".nan"},
            r"_temperature .* finite number > 0, fo",
        ),
        (
            {"distillation_temperature": 0},
            r"distillation_temperature .* finite number > 0",
        ),
        (
            {"tokenizer_uniformity_weight": -1},
            r"tokenizer_uniformity_weight .* number >= 0",
        ),
        (
            {"tokenizer_uniformity_weight": ".nan"},
            r"tokenizer_uniformity_weight .* found \[nan",
        ),
        (
            {"tokenizer_temperature_min": 1e-45},
            r"temperature_min .* number >= 1e-6, found \[",
        ),
        ({"tokenizer_distillation_temperature": 0}, r"r_distillation_temp.* number > 0 .*found .0"),
        ({"tokenizer_distillation_temperature": -0.1}, r"r_distillation_temperature .*found .-0.1"),
        (
            {"tokenizer_temperature_min": 0.1},
            r"tokenizer_temperature_min .* tokenizer_temperature_max \[0.01\], found .0.1",
        ),
    ],
)
def test_what_cannot_work_is_named(settings, message):
    with pytest.raises(InputError, match=message):
        UniGRec.check_config(Config("UniGRec", "ml-100k", config_dict=settings))
