"""A training step asks no value of the device, for which a GPU would have to finish first.

The meta device has no values: whatever needs one fails there.
"""

from contextlib import nullcontext

import pytest
import torch

from recbole_genrec.loss.registry import LOSSES
from recbole_genrec.model.eager import EAGER
from recbole_genrec.model.tiger import TIGER
from tests.model.etegrec_cases import etegrec
from tests.model.test_eager import eager
from tests.model.test_tiger_token_weighted import CONFIG, PLAIN, WEIGHTED, histories, training_data
from tests.model.unigrec_cases import histories as unigrec_histories
from tests.model.unigrec_cases import unigrec


@pytest.fixture(autouse=True)
def _no_autocast(monkeypatch):  # which does not know the meta device
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    monkeypatch.setattr(torch, "autocast", lambda *args, **settings: nullcontext())


def network(model):
    """What every batch trains all of."""
    return model if isinstance(model, EAGER) else model.t5


def train_without_values(model, interaction) -> None:
    loss = model.train().to("meta").calculate_loss(interaction)
    loss = sum(loss) if isinstance(loss, tuple) else loss
    assert loss.device.type == "meta"
    with torch.autograd.set_detect_anomaly(False):  # which RecBole turns on, and which looks
        loss.backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = [parameter.grad for parameter in trained]
    assert all(gradient.device.type == "meta" for gradient in gradients)


@pytest.mark.parametrize("history_attention", ["bidirectional", "causal"])
@pytest.mark.parametrize("loss", LOSSES)
def test_tiger(loss, history_attention):
    settings = {**CONFIG, **PLAIN, **WEIGHTED, "loss": loss}
    model = TIGER({**settings, "history_attention": history_attention}, training_data())
    train_without_values(model, histories())


@pytest.mark.parametrize("history_attention", ["bidirectional", "causal"])
def test_unigrec(history_attention):
    model = unigrec(history_attention=history_attention, distillation_warmup_epochs=0)
    train_without_values(model, unigrec_histories())


@pytest.mark.parametrize("history_attention", ["bidirectional", "causal"])
@pytest.mark.parametrize("turn", ["tokenizer", "recommender"])
def test_etegrec(turn, history_attention):
    train_without_values(etegrec(turn, history_attention=history_attention), unigrec_histories())


@pytest.mark.parametrize("history_attention", ["bidirectional", "causal"])
def test_eager(history_attention):
    train_without_values(eager(history_attention=history_attention), histories())


def test_a_batch_on_the_device_would_be_waited_for():
    """The control: its lengths are not known before the device is done."""
    with pytest.raises((RuntimeError, NotImplementedError)):
        train_without_values(TIGER({**CONFIG, **PLAIN}, training_data()), histories().to("meta"))
