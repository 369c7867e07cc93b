"""Training samples of causal models: every target once, in few samples."""

from collections import Counter

import pytest
import torch

from recbole_genrec.data.dataset import GenRecDataset
from tests.small import toy_config, write_toy


def train_part(data_path, history_attention, max_length):
    settings = {"history_attention": history_attention, "MAX_ITEM_LIST_LENGTH": max_length}
    return GenRecDataset(toy_config("TIGER", data_path, **settings)).build()


@pytest.mark.parametrize("max_length", [1, 3, 6, 50])
def test_stretches_hold_every_target_once(tmp_path, max_length):
    data_path = write_toy(tmp_path)
    every = train_part(data_path, "bidirectional", max_length)
    few = train_part(data_path, "causal", max_length)

    samples = every[0][torch.arange(len(every[0]))]
    expected = Counter(zip(samples["user_id"].tolist(), samples["item_id"].tolist(), strict=True))
    found = Counter()
    for sample in range(len(few[0])):
        stretch = few[0][[sample]]
        length, user = int(stretch["item_length"]), int(stretch["user_id"])
        targets = [*stretch["item_id_list"][0, 1:length].tolist(), int(stretch["item_id"])]
        found.update((user, target) for target in targets)
    assert found == expected
    users = len(set(samples["user_id"].tolist()))
    assert len(few[0]) <= len(every[0]) / max_length + users
    assert torch.equal(few[0].target_counts, every[0].target_counts)
    assert [len(part) for part in few[1:]] == [len(part) for part in every[1:]]
