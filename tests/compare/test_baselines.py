"""The baselines that recent tables quote stand in one comparison with ours."""

import pytest

from recbole_genrec.compare import compare_models, runner
from tests.resume_cases import ITEMS
from tests.small import LOAD_ALL, NAME, write_toy

BASELINES = ["Pop", "SASRec", "FEARec", "LightSANs", "BSARec", "TransitionGraph"]
SETTINGS = {
    **ITEMS,
    "load_col": {"inter": LOAD_ALL["inter"]},
    "MAX_ITEM_LIST_LENGTH": 6,
    "topk": [3, 5],
    "valid_metric": "NDCG@5",
    "epochs": 1,
    "show_progress": False,
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_they_are_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "_run_in_own_process", lambda arguments: runner._run(*arguments))
    settings = {**SETTINGS, "data_path": str(write_toy(tmp_path, missing=False))}
    comparison = compare_models(BASELINES, NAME, [1], config_dict=settings)
    assert {model["name"] for model in comparison["models"]} == set(BASELINES)
    assert comparison["failed"] == [] and comparison["paired"]
