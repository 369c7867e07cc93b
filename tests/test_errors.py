"""The one form of words of all messages about wrong settings, fields and arguments."""

import pytest

from recbole_genrec.errors import InputError, check_name, check_number, refuse


def test_refusals_name_key_expectation_and_value():
    with pytest.raises(InputError) as error:
        refuse("beam_size", "an integer >= 1", 0)
    assert str(error.value) == "beam_size should be an integer >= 1, found [0]"


def test_the_nearest_known_name_is_given():
    with pytest.raises(InputError) as error:
        check_name("collision", "apend", ("append", "reassign"))
    assert str(error.value) == (
        "collision should be one of append, reassign, found [apend]; did you mean [append]?"
    )
    check_name("collision", "append", ("append", "reassign"))


def test_numbers_have_bounds():
    with pytest.raises(InputError) as error:
        check_number("rate", 0, low=0, high=1, open=True)
    assert str(error.value) == "rate should be a number above 0 and below 1, found [0]"
    check_number("rate", 0, low=0)
    check_number("rate", 0.5, low=0, high=1, open=True)
