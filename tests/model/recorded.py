"""Losses, gradients and lists of every model and loss, as they were recorded.

Write them anew with `python -m tests.model.recorded` where a change means to change them.
"""

import json
from typing import Any

import torch

from recbole_genrec.loss import LOSSES
from recbole_genrec.model.tiger import TIGER
from tests.conftest import REPOSITORY
from tests.model import (
    test_rpg,
    test_semantic_sasrec,
    test_tiger,
    test_tiger_token_weighted,
    unigrec_cases,
)

FILE = REPOSITORY / "tests" / "data" / "recorded.json"
STEPS = 3
ATTENTION = ("bidirectional", "causal")
CASES = [
    *(("TIGER", loss, attention) for loss in LOSSES for attention in ATTENTION),
    *(
        ("UniGRec", loss, each)
        for loss in ("cross_entropy", "token_weighted")
        for each in ATTENTION
    ),
    ("RPG",),
    ("SemanticSASRec",),
]


def build(model: str, loss: str = "", attention: str = "") -> torch.nn.Module:
    """The model of a case, always with the same weights, without dropout."""
    torch.manual_seed(0)
    if model == "RPG":
        return test_rpg.rpg()
    if model == "SemanticSASRec":
        return test_semantic_sasrec.model_of()
    settings = {"loss": loss, "history_attention": attention, "dropout_rate": 0.0}
    if model == "UniGRec":
        return unigrec_cases.unigrec(distillation_warmup_epochs=0, **settings)
    config = {**test_tiger.CONFIG, **settings}
    return TIGER(config, test_tiger_token_weighted.training_data())


def record(model: str, *settings: str) -> dict[str, Any]:
    """A few steps of training on one batch, and the lists after it."""
    network = build(model, *settings).train()
    batch = (unigrec_cases if model == "UniGRec" else test_tiger).histories()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses, gradients = [], []
    for step in range(STEPS):
        network.on_epoch_start(step)
        parts = network.calculate_loss(batch)
        parts = parts if isinstance(parts, tuple) else (parts,)
        optimizer.zero_grad()
        sum(parts).backward()
        norms = [p.grad.double().norm() for p in network.parameters() if p.grad is not None]
        losses.append([part.item() for part in parts])
        gradients.append(torch.stack(norms).norm().item())
        optimizer.step()
        network.on_step_end()
        network.on_epoch_end(step)
    items, scores = network.eval().recommend(batch, 5)
    return {
        "losses": losses,
        "gradient_norms": gradients,
        "items": items.tolist(),
        "scores": scores.tolist(),
    }


if __name__ == "__main__":
    records = {"/".join(case): record(*case) for case in CASES}
    FILE.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
