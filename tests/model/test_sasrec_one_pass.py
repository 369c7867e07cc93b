"""SASRec, all targets of a sequence in one pass, beside RecBole's with a pass for each."""

import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.model.sequential_recommender.sasrec import SASRec
from torch import Tensor
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.model.sasrec_one_pass import SASRecOnePass
from tests.small import prepare, toy_config, write_toy

SMALL = {"n_layers": 2, "hidden_size": 8, "inner_size": 8, "n_heads": 2}


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = SMALL | {"MAX_ITEM_LIST_LENGTH": 12}  # longer than any, so that padding is cut
    return prepare(toy_config("SASRecOnePass", write_toy(tmp_path), **settings))


def loss_by_prefixes(model: SASRec, batch: Interaction) -> Tensor:
    """The mean over all targets of the cross-entropy of RecBole's scores after their prefixes."""
    losses = []
    for history, length, last in zip(
        batch["item_id_list"], batch["item_length"], batch["item_id"], strict=True
    ):
        sequence = [*history[:length].tolist(), int(last)]
        for number in range(1, len(sequence)):
            prefix = torch.zeros_like(history)
            prefix[:number] = torch.tensor(sequence[:number])
            sample = {"item_id_list": prefix[None], "item_length": torch.tensor([number])}
            scores = model.full_sort_predict(Interaction(sample))
            losses.append(F.cross_entropy(scores, torch.tensor(sequence[number : number + 1])))
    return torch.stack(losses).mean()


def test_its_loss_is_that_of_all_prefixes(prepared):
    model = SASRecOnePass(prepared.config, prepared.train.dataset).eval()
    theirs = SASRec(prepared.config, prepared.train.dataset).eval()
    theirs.load_state_dict(model.state_dict())
    batch = next(iter(prepared.train))
    expected, found = loss_by_prefixes(theirs, batch), model.calculate_loss(batch)
    torch.testing.assert_close(found, expected)
    for loss in (expected, found):
        loss.backward()
    for ours, own in zip(model.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, own.grad, rtol=1e-4, atol=1e-7)


def test_every_target_counts_once(prepared):
    model = SASRecOnePass(prepared.config, prepared.train.dataset)
    targets = sum(int(model.num_targets(batch)) for batch in prepared.train)
    assert targets == len(prepared.train.dataset._all_samples)


def test_another_loss_is_refused(tmp_path):
    config = toy_config("SASRecOnePass", write_toy(tmp_path), loss_type="BPR")
    with pytest.raises(InputError, match=r"loss_type should be CE, .* found \[BPR\]"):
        SASRecOnePass.check_config(config)
