"""The check of a numeric setting."""

from __future__ import annotations

from math import inf
from numbers import Real

from recbole_genrec.errors import InputError


def check_number(key: str, value: float, low: float, high: float = inf, open: bool = False) -> None:
    """Raise an InputError naming `key` unless low <= value <= high (low < value < high if open).

    Infinity is refused, whatever the bounds.
    """
    within = isinstance(value, Real) and (low < value < high if open else low <= value <= high)
    if within and value < inf:
        return
    between = f"above {low}" if open else f"at least {low}"
    if high == inf:
        between += " and finite"
    else:
        between += f" and below {high}" if open else f" and at most {high}"
    raise InputError(f"{key} should be a number {between}, found [{value}]")
