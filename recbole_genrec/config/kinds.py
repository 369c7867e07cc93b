"""What a setting may be, as the comments of property files say it: `(int >= 1)`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

NAMES = {
    "bool": ("True or False", "truth values"),
    "int": ("an integer", "integers"),
    "float": ("a number", "numbers"),
    "str": ("text", "texts"),
    "list": ("a list", "lists"),
    "dict": ("a dict", "dicts"),
    "None": ("None", "None"),
}
TYPES: dict[str, Any] = {
    "bool": int,
    "int": int,
    "float": (int, float),
    "str": str,
    "list": (list, tuple),
    "dict": dict,
    "None": type(None),
}

_NUMBER = r"-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_BOUND = re.compile(rf"(?P<sign>>=|>) (?P<low>{_NUMBER})")
_INTERVAL = re.compile(
    rf"in (?P<left>[\[(])(?P<low>{_NUMBER}), (?P<high>{_NUMBER})(?P<right>[\])])"
)
_CHOICES = re.compile(r"in \{(?P<names>[^{}]+)\}")
_ALTERNATIVE = re.compile(rf"(?P<many>list of )?(?P<name>{'|'.join(NAMES)})(?: (?P<range>.+))?")


@dataclass(frozen=True)
class Kind:
    """A type, perhaps of each element of a list, and the range of its values.

    Attributes:
        name: of the type, one of `NAMES`.
        many: whether it is that of the elements of a list, which has one at least.
        range: the range as it was written; empty where every value will do.
        low, high: bounds of a number.
        open_low, open_high: whether the bounds themselves are outside.
        choices: all values of a text; empty where any will do.
    """

    name: str
    many: bool = False
    range: str = ""
    low: float = -inf
    high: float = inf
    open_low: bool = False
    open_high: bool = False
    choices: tuple[str, ...] = ()

    def allows(self, value: Any) -> bool:
        """Whether a setting may have this value; an integer is a number, and a tuple a list."""
        if self.many:
            return isinstance(value, (list, tuple)) and len(value) > 0 and all(map(self._is, value))
        return self._is(value)

    def _is(self, value: Any) -> bool:
        if self.name == "bool":
            return isinstance(value, int) and value in (0, 1)
        if isinstance(value, bool) or not isinstance(value, TYPES[self.name]):
            return False
        if self.choices:
            return value in self.choices
        if self.name not in ("int", "float"):
            return True
        above = self.low < value if self.open_low else self.low <= value
        below = value < self.high if self.open_high else value <= self.high
        return above and below and isfinite(value)

    def __str__(self) -> str:
        """In words: `an integer >= 1`, `a list of numbers in [0, 1)`, `one of mean, sum`."""
        if self.choices:
            names = ", ".join(self.choices)
            return f"a list with some of {names}" if self.many else f"one of {names}"
        name = NAMES[self.name][self.many]
        if self.name == "float" and self.high == inf and self.range:
            name = name.replace("number", "finite number")
        words = f"{name} {self.range}".rstrip()
        return f"a list of {words}" if self.many else words


def parse_kinds(text: str) -> tuple[Kind, ...]:
    """The kinds that a comment names: `int >= 1`, `float in [0, 1) or None`, `list of int > 0`.

    Raises:
        ValueError: for a type or a range in another form.

    >>> [str(kind) for kind in parse_kinds("float in [0, 1) or str in {low, high}")]
    ['a number in [0, 1)', 'one of low, high']
    """
    return tuple(_kind(alternative) for alternative in text.split(" or "))


def _kind(text: str) -> Kind:
    found = _ALTERNATIVE.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a type such as int, list of str or float >= 0, found [{text}]")
    name, many, range = found["name"], found["many"] is not None, found["range"] or ""
    if not range:
        return Kind(name, many)
    if name in ("int", "float"):
        if bound := _BOUND.fullmatch(range):
            return Kind(name, many, range, float(bound["low"]), open_low=bound["sign"] == ">")
        if within := _INTERVAL.fullmatch(range):
            low, high = float(within["low"]), float(within["high"])
            opens = within["left"] == "(", within["right"] == ")"
            return Kind(name, many, range, low, high, *opens)
    if name == "str" and (choices := _CHOICES.fullmatch(range)):
        return Kind(name, many, range, choices=tuple(choices["names"].split(", ")))
    raise ValueError(f"expected a range such as >= 1, in [0, 1) or in {{a, b}}, found [{text}]")
