import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_genrec.model.t5.packing import pack, place_targets

lengths_lists = st.lists(st.integers(1, 30), min_size=1, max_size=40)


@given(lengths_lists)
def test_every_history_lies_whole_and_in_order_in_one_row(lengths):
    packing = pack(torch.tensor(lengths))
    rows = packing.spread(torch.arange(1.0, sum(lengths) + 1).unsqueeze(1)).squeeze(-1)
    assert rows.shape == packing.history.shape and rows.shape[1] == max(lengths)
    assert int((packing.history >= 0).sum()) == sum(lengths)
    start = 1
    for history, length in enumerate(lengths):
        row = packing.row[history]
        places = (packing.history[row] == history).nonzero().flatten()
        assert places.diff().eq(1).all() and len(places) == length
        assert rows[row, places].tolist() == list(range(start, start + length))
        assert packing.position[row, places].tolist() == list(range(length))
        start += length


def test_rows_are_nearly_full_and_hold_about_equally_many_histories():
    """Lengths as of Beauty's training samples: many short ones and a peak at the full length."""
    samples = torch.tensor([22, 22, 15, 11, 8, 6, 5, 4, 4, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 15.0])
    items = torch.multinomial(samples, 256, replacement=True) + 1
    packing = pack(items * 4)
    assert (packing.history >= 0).float().mean() > 0.97
    assert packing.row.bincount().max() < 8


@given(lengths_lists, st.data())
def test_targets_see_the_visible_part_of_their_own_history_alone(lengths, data):
    packing = pack(torch.tensor(lengths))
    n = data.draw(st.integers(1, 30))
    histories = st.integers(0, len(lengths) - 1)
    sequence = torch.tensor(data.draw(st.lists(histories, min_size=n, max_size=n)))
    visible = torch.tensor([data.draw(st.integers(1, lengths[s])) for s in sequence.tolist()])
    targets = place_targets(packing, sequence, visible)
    assert len(set(targets.slot.tolist())) == n
    seen = targets.mask.flatten(0, 1)[targets.slot]  # [n, width]
    for target in range(n):
        assert targets.slot[target] // targets.per_row == packing.row[sequence[target]]
        row = packing.row[sequence[target]]
        slots = seen[target].nonzero().flatten()
        assert (packing.history[row, slots] == sequence[target]).all()
        assert packing.position[row, slots].tolist() == list(range(visible[target]))
    queries = torch.randn(n, 3, 2)
    assert torch.equal(targets.gather(targets.spread(queries), 3), queries)
