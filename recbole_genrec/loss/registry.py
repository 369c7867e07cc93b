"""Training losses by the name in the configuration key `loss`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_genrec.errors import check_name
from recbole_genrec.loss.cft import CFTLoss
from recbole_genrec.loss.context import LossContext
from recbole_genrec.loss.cross_entropy import CrossEntropyLoss
from recbole_genrec.loss.igd import IGDLoss
from recbole_genrec.loss.multi_target import (
    FrequencyLoss,
    FrontGreaterLoss,
    MultiTargetLoss,
    TokenWeightedLoss,
)
from recbole_genrec.loss.pos import PosLoss
from recbole_genrec.loss.rank import RankLoss

_WEIGHTS = {"front_greater_form": "front_greater_form", "frequency_beta": "frequency_beta"}
_LINEAR = _WEIGHTS | {"front_greater_decay": "front_greater_decay"}
_LEARNED = _WEIGHTS | {"scaled_logits": "scaled_logits"}

# name -> class, {argument of the class: configuration key}
LOSSES: dict[str, tuple[type[CrossEntropyLoss], dict[str, str]]] = {
    "cross_entropy": (CrossEntropyLoss, {}),
    "rank": (RankLoss, {"temperature": "rank_temperature"}),
    "pos": (PosLoss, {"last_weight": "pos_last_weight"}),
    "cft": (CFTLoss, {"causal_weight": "cft_weight", "last_weight": "pos_last_weight"}),
    "igd": (IGDLoss, {"floor": "igd_weight"}),
    "front_greater": (FrontGreaterLoss, _LINEAR),
    "frequency": (
        FrequencyLoss,
        _LINEAR | {"frequency_growth": "frequency_growth", "frequency_max": "frequency_max"},
    ),
    "multi_target": (MultiTargetLoss, _LEARNED),
    "token_weighted": (TokenWeightedLoss, _LEARNED | {"curriculum_rate": "curriculum_rate"}),
}


def build_loss(config: Mapping[str, Any], context: LossContext) -> CrossEntropyLoss:
    """The loss that the configuration names, with the settings it gives.

    Where no item is ever a target, as in a model that is restored to recommend only, there is
    nothing to train and the token weights are left out.

    Args:
        config: RecBole's configuration or a dict; `loss` is a name of `LOSSES` in any case.
        context: the data that token weights are computed from.

    Raises:
        InputError: for an unknown name, a setting out of range, or missing item embeddings.
    """
    loss = loss_without_data(config)
    if context.target_counts.any():
        loss.set_context(context)
    return loss


def loss_without_data(config: Mapping[str, Any]) -> CrossEntropyLoss:
    """The loss of `build_loss` before it has seen any data.

    Raises:
        InputError: for an unknown name or a setting out of range.
    """
    name = str(config["loss"]).lower()
    if name not in LOSSES:
        check_name("loss", config["loss"], LOSSES)
    loss_class, keys = LOSSES[name]
    settings = {argument: config[key] for argument, key in keys.items() if key in config}
    return loss_class(**settings)
