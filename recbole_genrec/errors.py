"""The exceptions that the command line prints as one line, and how they name things."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from math import inf
from numbers import Real
from typing import Any, NoReturn

NAMED = 5  # how many of the names that are wrong a message shows


class InputError(ValueError):
    """A setting, file or argument that cannot work.

    The message names the file, field or key, what was found and what was expected. The command line
    prints it as one line; from Python it is a `ValueError` like any other.
    """


class RunError(RuntimeError):
    """A run that cannot go on although its settings may be right: no disk space, no memory.

    The message says what to do. Unlike after an `InputError`, another attempt may succeed.
    """


class MissingPackage(InputError, ImportError):
    """A package that has to be installed first; the message holds the command.

    It ends an import, so from Python it is also an `ImportError`.
    """


def refuse(key: str, expected: str, found: Any, known: Iterable[str] = ()) -> NoReturn:
    """Raise the error that every wrong setting, field and argument gets, in one form of words.

    Args:
        key: what is wrong: the name of a setting, a field, an argument or a file.
        expected: what it should be, such as `an integer >= 1`.
        found: the value that was found.
        known: names that the value may have been meant as; the nearest one is given.

    Raises:
        InputError: always.

    >>> refuse("beam_size", "an integer >= 1", 0)
    Traceback (most recent call last):
    recbole_genrec.errors.InputError: beam_size should be an integer >= 1, found [0]
    """
    raise InputError(f"{key} should be {expected}, found [{found}]{nearest(str(found), known)}")


def check_name(key: str, value: str, known: Collection[str]) -> None:
    """Refuse the `value` of a setting that is not one of the known names.

    Raises:
        InputError: with all known names, and the nearest one.
    """
    if value not in known:
        refuse(key, f"one of {', '.join(known)}", value, known)


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
    refuse(key, f"a number {between}", value)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean [X]?` for the known name closest to `name`, or nothing when none is close."""
    by_fold = {candidate.casefold(): candidate for candidate in sorted(known)}
    match = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.6)
    return f"; did you mean [{by_fold[match[0]]}]?" if match else ""


def first_few(names: Sequence[object]) -> str:
    """The first few of the names, such as `a, b, c, d, e, ...`.

    >>> first_few([3, 4]), first_few("abcdefg")
    ('3, 4', 'a, b, c, d, e, ...')
    """
    return ", ".join(map(str, names[:NAMED])) + (", ..." if len(names) > NAMED else "")


def shortened(text: object, length: int = 80) -> str:
    """`text` as a message shows it: no more than its first `length` letters, on one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else f"{line[:length]}... ({len(line)} letters)"
