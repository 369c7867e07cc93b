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
        ({"finetune_epochs": -1}, "finetune_epochs .* at least 0, found .?-1"),
        ({"finetune_epochs": 0.5}, "finetune_epochs .* integer.* found .?0.5"),
        ({"reconstruction_weight": "much"}, "reconstruction_weight .* found .?'?much"),
        ({"tokenizer_distillation_weight": ".inf"}, "_weight .* at least 0 and finite, found .inf"),
        ({"distillation_temperature": ".nan"}, "_temperature .* above 0 and finite, found .nan"),
        ({"distillation_temperature": 0}, "distillation_temperature .* above 0 .* found .?0"),
        ({"tokenizer_distillation_temperature": 0}, "r_distillation_temp.* above 0 .*found .0"),
        ({"tokenizer_distillation_temperature": -0.1}, "r_distillation_temperature .*found .-0.1"),
        ({"tokenizer_uniformity_weight": -1}, "tokenizer_uniformity_weight .* at least 0 .*-1"),
        ({"tokenizer_uniformity_weight": ".nan"}, "tokenizer_uniformity_weight .* found .nan"),
        ({"tokenizer_temperature_min": 1e-45}, "temperature_min .* at least 1e-06 .* found .1e-45"),
        (
            {"tokenizer_temperature_min": 0.1},
            r"tokenizer_temperature_min .* tokenizer_temperature_max \[0.01\], found .0.1",
        ),
    ],
)
def test_what_cannot_work_is_named(settings, message):
    with pytest.raises(InputError, match=message):
        UniGRec.check_config(Config("UniGRec", "ml-100k", config_dict=settings))
