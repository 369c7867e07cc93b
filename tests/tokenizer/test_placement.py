"""New items beside existing semantic IDs, by hand."""

import pytest
import torch

from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.placement import place_new_items


def place(existing, wanted, sizes):
    return place_new_items(torch.tensor(existing), torch.tensor(wanted), sizes).tolist()


def test_a_free_id_is_kept():
    assert place([[0, 0]], [[1, 2], [0, 1]], [2, 3]) == [[1, 2], [0, 1]]


def test_a_taken_id_moves_at_the_last_level_first():
    assert place([[0, 0], [0, 1]], [[0, 1]], [2, 3]) == [[0, 2]]


def test_a_full_prefix_moves_one_level_up():
    assert place([[0, 0], [0, 1], [1, 0]], [[0, 1]], [2, 2]) == [[1, 1]]


def test_the_dedicated_level_is_filled_from_zero():
    # three new items with the codes (1,): one such item exists
    assert place([[1, 0]], [[1], [1], [0]], [2, 4]) == [[1, 1], [1, 2], [0, 0]]


def test_no_room_is_an_error():
    with pytest.raises(InputError, match=r"\[1, 2\] have no free semantic ID left beside 2 items"):
        place([[0, 0], [0, 1]], [[0, 0]], [1, 2])
