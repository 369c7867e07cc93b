"""No change alters a loss, a gradient or a list unless it means to."""

import json

import pytest
import torch

from tests.model.recorded import CASES, FILE, record


@pytest.mark.parametrize("case", CASES, ids="/".join)
def test_losses_gradients_and_lists_are_those_recorded(case):
    expected = json.loads(FILE.read_text(encoding="utf-8"))["/".join(case)]
    found = record(*case)
    for name in ("gradient_norms", "scores"):
        torch.testing.assert_close(
            torch.tensor(found[name]), torch.tensor(expected[name]), rtol=1e-5, atol=1e-5
        )
    for ours, theirs in zip(found["losses"], expected["losses"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5)
    assert found["items"] == expected["items"]
