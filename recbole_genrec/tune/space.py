"""Hyper-parameter files in RecBole's form, one hyper-parameter per line.

    learning_rate loguniform -8,0            e^-8 to e^0, uniform in the exponent
    dropout_rate  uniform 0.0,0.5
    num_layers    quniform 1,6,1             multiples of 1 from 1 to 6
    hidden_size   choice [64,128,256]        a list of Python literals

As in `recbole.trainer.hyper_tuning`, with the distributions of hyperopt. Values are never evaluated
as code. Empty lines and lines that start with # are passed over.
"""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from recbole_genrec.errors import InputError
from recbole_genrec.files import read_short


@dataclass(frozen=True)
class Parameter:
    """A hyper-parameter.

    Attributes:
        name: the key of the setting.
        place: file and line that define it, for messages.
        text: its definition, without the name.
        distribution: what Optuna draws from.
        values: what each drawable value stands for, where there is a finite number of them.
    """

    name: str
    place: str
    text: str
    distribution: BaseDistribution
    values: Mapping[Any, Any] | None = None

    def setting(self, drawn: Any) -> Any:
        """The value of the setting that belongs to a drawn value."""
        if self.values is None or drawn in self.values:
            return drawn if self.values is None else self.values[drawn]
        return self.values[min(self.values, key=lambda value: abs(value - drawn))]

    def examples(self) -> list[Any]:
        """Settings by which it can be tried out: all choices, or the ends of the range."""
        if isinstance(self.distribution, CategoricalDistribution) and self.values is not None:
            return list(self.values.values())
        return [self.setting(self.distribution.low), self.setting(self.distribution.high)]


def read_space(file: str | os.PathLike) -> list[Parameter]:
    """The hyper-parameters that a file defines.

    Raises:
        InputError: naming file and line, what was found and what was expected.
    """
    space: dict[str, Parameter] = {}
    for number, line in enumerate(read_short("params_file", file).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parameter = _parse(line, f"{file}, line {number}")
        if parameter.name in space:
            first = space[parameter.name].place
            raise InputError(f"{parameter.place}: [{parameter.name}] is defined already in {first}")
        space[parameter.name] = parameter
    if not space:
        raise InputError(f"params_file [{file}] defines no hyper-parameter")
    return list(space.values())


def grid(space: Iterable[Parameter]) -> list[dict[str, Any]]:
    """All combinations of drawable values, the last hyper-parameter changing fastest.

    Raises:
        InputError: for a hyper-parameter of which there are infinitely many values.
    """
    space, drawable = list(space), []
    for parameter in space:
        if parameter.values is None:
            raise InputError(
                f"{parameter.place}: an exhaustive search needs choice or quniform, "
                f"found [{parameter.text}]; --algo=random and --algo=bayes take it"
            )
        drawable.append(parameter.values)
    names = [parameter.name for parameter in space]
    return [dict(zip(names, point, strict=True)) for point in product(*drawable)]


def _parse(line: str, place: str) -> Parameter:
    name, *rest = line.split(maxsplit=2)
    if len(rest) < 2:
        raise InputError(
            f"{place}: expected `name {'|'.join(KINDS)} values`, found [{line.strip()}]"
        )
    kind, text = rest
    if kind not in KINDS:
        raise InputError(f"{place}: expected one of {', '.join(KINDS)}, found [{kind}]")
    expected, parse = KINDS[kind]
    try:
        distribution, values = parse(text)
    except (ValueError, SyntaxError, ArithmeticError, TypeError) as error:
        raise InputError(f"{place}: expected {expected}, found [{kind} {text}]") from error
    return Parameter(name, place, f"{kind} {text.strip()}", distribution, values)


def _choice(text: str):
    listed = ast.literal_eval(text.strip())
    if not isinstance(listed, (list, tuple)):
        raise ValueError("expected a list")
    values = {repr(value): value for value in listed}  # Optuna knows no lists among choices
    if not values or len(values) < len(listed):
        raise ValueError("expected different values")
    return CategoricalDistribution(list(values)), values


def _uniform(text: str):
    low, high = map(float, _numbers(text, 2))
    return FloatDistribution(low, high), None


def _loguniform(text: str):
    low, high = (math.exp(number) for number in _numbers(text, 2))
    return FloatDistribution(low, high, log=True), None


def _quniform(text: str):
    """hyperopt's round(uniform(low, high) / q) * q, with whole numbers where q is whole."""
    low, high, q = _numbers(text, 3)
    if q <= 0:
        raise ValueError("expected q > 0")
    number = int if q == int(q) else float
    values = {
        float(step * q): number(step * q) for step in range(round(low / q), round(high / q) + 1)
    }
    return FloatDistribution(min(values), max(values), step=float(q)), values


def _numbers(text: str, count: int) -> list[Decimal]:
    numbers = [Decimal(number.strip()) for number in text.split(",")]
    if len(numbers) != count or not all(map(Decimal.is_finite, numbers)):
        raise ValueError(f"expected {count} numbers")
    if numbers[0] >= numbers[1]:
        raise ValueError("expected low < high")
    return numbers


KINDS = {
    "choice": ("`choice [first,second]`, different literals, text in quotes", _choice),
    "uniform": ("`uniform low,high` with low < high", _uniform),
    "loguniform": ("`loguniform low,high` with natural logarithms low < high", _loguniform),
    "quniform": ("`quniform low,high,q` with low < high and q > 0", _quniform),
}
