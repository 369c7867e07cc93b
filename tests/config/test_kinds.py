"""What a comment says that a setting may be."""

from math import inf, nan

import numpy as np
import pytest

from recbole_genrec.config.kinds import parse_kinds


@pytest.mark.parametrize(
    ("text", "words", "allowed", "refused"),
    [
        ("bool", "True or False", [True, False, 0, 1], [2, "True", None, 0.5]),
        ("int", "an integer", [-3, 0, 7], [True, 1.0, "1", None]),
        ("int >= 1", "an integer >= 1", [1, 9], [0, -1, 1.5, True]),
        ("int in [0, 9]", "an integer in [0, 9]", [0, 9], [-1, 10]),
        ("float", "a number", [0, -1.5, np.float64(0.1)], [inf, -inf, nan, True, "1"]),
        ("float >= 0", "a finite number >= 0", [0, 0.0, 1e9], [-1e-9, inf, nan]),
        ("float > 0", "a finite number > 0", [1e-9, 3], [0, 0.0, -1, inf]),
        ("float >= 1e-6", "a finite number >= 1e-6", [1e-6], [9e-7]),
        ("float in [0, 1)", "a number in [0, 1)", [0, 0.99], [1, 1.0, -0.01, nan]),
        ("float in (0, 1]", "a number in (0, 1]", [0.01, 1], [0, 1.01]),
        ("float in (-1.5, 1)", "a number in (-1.5, 1)", [-1.4, 0.9], [-1.5, 1]),
        ("str", "text", ["", "a"], [1, None, ["a"]]),
        ("str in {sum, mean}", "one of sum, mean", ["sum", "mean"], ["Sum", "", None, 1]),
        ("list", "a list", [[], [1, "a"], (2,)], ["ab", None, {}]),
        ("list of int", "a list of integers", [[3], (3, 4)], [[], [1.5], ["a"], 3]),
        ("list of int >= 1", "a list of integers >= 1", [[1]], [[1, 0], []]),
        ("list of str in {a, b}", "a list with some of a, b", [["b", "a"]], [["c"], []]),
        ("list of float > 0", "a list of finite numbers > 0", [[0.5]], [[0.5, 0]]),
        ("dict", "a dict", [{}, {"a": 1}], [[], None]),
        ("None", "None", [None], [0, "", False]),
    ],
)
def test_kinds(text, words, allowed, refused):
    (kind,) = parse_kinds(text)
    assert str(kind) == words
    assert [value for value in allowed if not kind.allows(value)] == []
    assert [value for value in refused if kind.allows(value)] == []


def test_alternatives():
    kinds = parse_kinds("float in [0, 1) or str in {low, high} or None")
    assert list(map(str, kinds)) == ["a number in [0, 1)", "one of low, high", "None"]


@pytest.mark.parametrize(
    "text",
    [
        *("number", "int >=1", "int > one", "int in 0, 1", "int in [0 1]", "float in [0, 1}"),
        *("str >= 1", "bool >= 0", "str in [a, b]", "str in {}", "list int", "int or", "int, >= 1"),
        *("dict of int", "list of", "int in [0, 1) >= 0"),
    ],
)
def test_other_forms_are_refused(text):
    with pytest.raises(ValueError, match="expected a (type|range) such as"):
        parse_kinds(text)
