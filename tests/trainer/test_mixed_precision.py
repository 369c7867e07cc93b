"""Every model trains in bfloat16 (`enable_amp`), and its loss is nearly that of float32."""

import pytest
import torch

from recbole_genrec.registry import MODELS
from tests import resume_cases
from tests.small import new_trainer, write_toy
from tests.trainer.test_resume import prepared

LEARNED = sorted((MODELS.keys() & resume_cases.SETTINGS.keys()) - {"Pop", "TransitionGraph"})
OPTIONS = {
    "SemanticSASRec": [
        {"filter_weight": 0.5, "gated": True, "contrast_weight": 0.1, "neighbor_steps": 2},
        {"item_vectors": ["own", "codes", "text"], "code_loss_weight": 0.1, "sampled_items": 20},
        {"item_vectors": ["own", "codes", "neighbors"]},
        {"repeat_bias": "fitted", "shared_vectors": False, "own_vector_dropout": 0.5},
    ],
    "RPG": [{"repeat_bias": "learned", "memory_steps": 2, "neighbor_steps": 1}],
    "TIGER": [
        {"history_attention": "causal", "existing_codes_only": True, "history_unit": "item"},
        {"learner": "muon", "id_embeddings": "both", "teacher_epochs": 1},
    ],
    "UniGRec": [
        {"history_attention": "causal", "existing_codes_only": True, "history_unit": "item"}
    ],
}
CASES = [(model, settings) for model in LEARNED for settings in ({}, *OPTIONS.get(model, []))]


@pytest.mark.parametrize(("model", "settings"), CASES, ids=str)
def test_an_epoch_in_bfloat16(model, settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    data_path = write_toy(tmp_path, missing=False)

    def first_loss(**precision):
        run = prepared(model, data_path, **{**settings, **precision, "epochs": 1})
        trainer = new_trainer(run)
        trainer.fit(run.train, run.valid, saved=False)
        return trainer.train_loss_dict[0]

    assert first_loss(enable_amp=True) == pytest.approx(first_loss(), rel=0.03)
