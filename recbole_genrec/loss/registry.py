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

LOSSES: dict[str, type[CrossEntropyLoss]] = {
    "cross_entropy": CrossEntropyLoss,
    "rank": RankLoss,
    "pos": PosLoss,
    "cft": CFTLoss,
    "igd": IGDLoss,
    "front_greater": FrontGreaterLoss,
    "frequency": FrequencyLoss,
    "multi_target": MultiTargetLoss,
    "token_weighted": TokenWeightedLoss,
}


def build_loss(config: Mapping[str, Any], context: LossContext) -> CrossEntropyLoss:
    """The loss that the configuration names, with the settings it gives.

    Where no item is ever a target, as in a model that is restored to recommend only, there is
    nothing to train and the token weights are left out.

    Args:
        config: holds `loss`, a name of `LOSSES` in any case, and the keys of its file in
            properties/loss.
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
    return LOSSES[name](config)
