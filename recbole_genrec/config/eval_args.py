"""What can be known to be wrong with `eval_args` before any data are read."""

import re
from collections.abc import Mapping
from typing import Any

from recbole.evaluator import metric_types
from recbole.utils import EvaluatorType, ModelType

from recbole_genrec.errors import InputError

LEAVE_ONE_OUT = ("valid_and_test", "valid_only", "test_only")


def check_eval_args(settings: Mapping[str, Any]) -> None:
    """The order, the split, the groups and the modes that RecBole knows.

    Raises:
        InputError: naming the part of `eval_args`, what was found and what was expected.
    """
    eval_args = settings["eval_args"]
    if "mode" in eval_args:
        _check_mode(eval_args["mode"], settings["metrics"])
        if settings["MODEL_TYPE"] == ModelType.SEQUENTIAL and not settings["repeatable"]:
            _check_masking(eval_args["mode"])
    order = eval_args.get("order", "RO")
    if settings["MODEL_TYPE"] == ModelType.SEQUENTIAL and order != "TO":
        raise InputError(f"eval_args order should be TO for sequential models, found [{order}]")
    if settings.get("benchmark_filename") is not None:  # ordered and split already
        return
    if order not in ("RO", "TO"):
        raise InputError(f"eval_args order should be RO (random) or TO (time), found [{order}]")
    if order == "TO" and settings["TIME_FIELD"] is None:
        raise InputError("TIME_FIELD should name the column of eval_args order TO, found [None]")
    group_by = eval_args.get("group_by")
    if group_by not in ("user", "none", "None", None):
        raise InputError(f"eval_args group_by should be user or none, found [{group_by}]")
    if "split" in eval_args:
        _check_split(eval_args["split"])


def _check_split(split: Any) -> None:
    if not isinstance(split, dict) or len(split) != 1 or not {*split} <= {"LS", "RS", "TS"}:
        raise InputError(
            "eval_args split should be one of {LS: valid_and_test}, {RS: [0.8,0.1,0.1]} and "
            f"{{TS: [0.8,0.1,0.1]}}, found [{split}]"
        )
    ((kind, value),) = split.items()
    if kind == "LS":
        if value not in LEAVE_ONE_OUT:
            raise InputError(
                f"eval_args split LS should be one of {', '.join(LEAVE_ONE_OUT)}, found [{value}]"
            )
    elif not isinstance(value, list) or len(value) != 3 or not all(map(_is_share, value)):
        raise InputError(
            f"eval_args split {kind} should be three shares, for training, validation and test, "
            f"found [{value}]"
        )
    elif value[0] == 0:
        raise InputError(f"eval_args split {kind} leaves nothing to train on: [{value}]")


def _check_mode(mode: Any, metrics: str | list[str]) -> None:
    modes = mode if isinstance(mode, dict) else {"valid": mode, "test": mode}
    if not modes or not {*modes} <= {"valid", "test"}:
        raise InputError(f"eval_args mode has the keys valid and test, found [{mode}]")
    names = [metrics] if isinstance(metrics, str) else metrics
    values = all(metric_types[name.lower()] == EvaluatorType.VALUE for name in names)
    for value in modes.values():
        if value == "labeled" and not values:
            raise InputError(
                "eval_args mode labeled is for value metrics such as AUC and LogLoss, found "
                f"metrics {names}; rank among all items (full) or among samples (uni100, pop100)"
            )
        if value == "full" and values:
            raise InputError(
                f"eval_args mode full ranks all items, and metrics {names} compare scores with "
                "labels: use mode labeled, or uni100 with sampled negatives"
            )
        if value not in ("full", "labeled") and not re.fullmatch(
            "(uni|pop)0*[1-9][0-9]*", str(value)
        ):
            raise InputError(
                "eval_args mode should be full, or uniN or popN with N negatives such as uni100, "
                f"or labeled for value metrics, found [{value}]"
            )


def _check_masking(mode: Any) -> None:
    """Items of the history can be masked where all items are ranked, not among samples."""
    for value in mode.values() if isinstance(mode, dict) else (mode,):
        if value != "full":
            raise InputError(
                "repeatable False, which masks the items of the history, needs eval_args mode full "
                f"for sequential models, found [{value}]"
            )


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9
