"""Trained models and their data, loaded again: RecBole's case study, and answers of baselines."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_genrec import Recommender
from recbole_genrec.errors import InputError
from recbole_genrec.quick_start import (
    full_sort_scores,
    full_sort_topk,
    load_data_and_model,
    run_recbole_genrec,
)
from recbole_genrec.runs.checkpoint import load_checkpoint, save_checkpoint
from recbole_genrec.runs.saved_config import saved_config
from tests.small import NAME, write_toy
from tests.test_inference import SETTINGS

SMALL = {
    "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
    "MAX_ITEM_LIST_LENGTH": 6,
    "epochs": 2,
    "train_batch_size": 64,
    "topk": [5],
    "valid_metric": "NDCG@5",
    "show_progress": False,
    "hidden_size": 16,
    "inner_size": 16,
    "n_layers": 1,
    "embedding_size": 16,
}
MODELS = {"SASRec": SMALL, "GRU4Rec": SMALL, "BPR": SMALL, "TIGER": SETTINGS}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Checkpoint and test result of each model."""
    runs = {}
    for model, settings in MODELS.items():
        folder = tmp_path_factory.mktemp(model)
        places = {name: str(folder / name) for name in ("checkpoint_dir", "results_dir")}
        settings = {**settings, **places, "data_path": str(write_toy(folder))}
        result = run_recbole_genrec(model, NAME, config_dict=settings)
        checkpoint = next(
            path for path in (folder / "checkpoint_dir").glob("*.pth") if "last" not in path.name
        )
        runs[model] = checkpoint, result["test_result"]
    return runs


@pytest.mark.parametrize("model", MODELS)
def test_what_is_loaded_gives_the_result_of_the_run(trained, model):
    checkpoint, expected = trained[model]
    config, found, dataset, train, valid, test = load_data_and_model(checkpoint)
    assert config["model"] == type(found).__name__ == model and not found.training
    assert config.as_dict()["eval_args"] == load_checkpoint(checkpoint)["config"]["eval_args"]
    users = test.dataset.inter_feat["user_id"].unique().numpy()
    targets = {
        int(u): int(i)
        for u, i in zip(*(test.dataset.inter_feat[f] for f in ("user_id", "item_id")), strict=True)
    }
    _, items = full_sort_topk(users, found, test, k=5)
    order = list(users) if model == "BPR" else test.dataset.inter_feat["user_id"].tolist()
    order = [u for u in users for _ in range(order.count(u))] if model != "BPR" else order
    if model != "BPR":  # one target a user: recall is the share of lists that hold it
        hits = [targets[int(u)] in row.tolist() for u, row in zip(order, items, strict=True)]
        assert np.mean(hits) == pytest.approx(expected["recall@5"], abs=1e-4)
    assert full_sort_scores(users[:3], found, test).shape == (3, dataset.item_num)
    assert len(train.dataset) > len(valid.dataset) > 0


def test_the_same_question_to_a_baseline(trained):
    """What SASRec answers to a history is what RecBole's own scores put first."""
    checkpoint, _ = trained["SASRec"]
    _, model, dataset, _, _, test = load_data_and_model(checkpoint)
    users = test.dataset.inter_feat["user_id"][:5]
    scores = full_sort_scores(users.numpy(), model, test)
    batch = test.dataset[torch.arange(5)]
    histories = [
        list(dataset.id2token("item_id", row[:length]))
        for row, length in zip(batch["item_id_list"], batch["item_length"], strict=True)
    ]
    recommender = Recommender.from_checkpoint(checkpoint)
    answers = recommender.recommend(histories, top_k=3)
    for answer, row in zip(answers, scores, strict=True):
        best = row.topk(3)
        assert [a["item"] for a in answer] == list(dataset.id2token("item_id", best.indices))
        assert [a["score"] for a in answer] == pytest.approx(best.values.tolist(), abs=1e-5)

    (without,) = recommender.recommend(histories[:1], top_k=100, exclude_history=True)
    assert not {a["item"] for a in without} & set(histories[0])
    (few,) = recommender.recommend(histories[:1], allowed_items=["i1", "i2"])
    assert {a["item"] for a in few} == {"i1", "i2"}
    assert recommender.recommend([["nobody's"]], unknown_items="skip") == [[]]
    with pytest.raises(InputError, match="knows the items that it was trained on alone"):
        recommender.add_items(["new"], ["text"])
    with pytest.raises(InputError, match="SASRec scores all items at once"):
        recommender.beam(["i1"])


@pytest.mark.parametrize("lost", ["config", "model", "extra"])
def test_what_a_checkpoint_lacks_is_named(trained, tmp_path, lost):
    state = load_checkpoint(trained["TIGER"][0])
    if lost == "config":
        state["config"] = {}
    elif lost == "model":
        state["config"].pop("model")
    else:
        state["extra"] = {}
    save_checkpoint(state, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"lacks (\[model\]|its items)"):
        Recommender.from_checkpoint(tmp_path / "a.pth")


def test_settings_come_back_as_they_were(trained):
    for checkpoint, _ in trained.values():
        settings = load_checkpoint(checkpoint)["config"]
        again = saved_config(settings).as_dict()
        assert {k: v for k, v in settings.items() if k != "strict_config" and again[k] != v} == {
            key: settings[key]
            for key in ("checkpoint_dir", "results_dir", "show_progress")
            if again[key] != settings[key]
        }


def test_data_that_have_changed_are_named(trained):
    checkpoint, _ = trained["GRU4Rec"]
    file = Path(load_checkpoint(checkpoint)["config"]["data_path"]) / f"{NAME}.inter"
    before = file.read_text()
    file.write_text(before + "u0\ti1\t3\t99999\n")
    with pytest.raises(InputError, match=r"was trained on other data: toy\.inter"):
        load_data_and_model(checkpoint)
    file.write_text(before)


def test_recboles_quick_start_can_be_imported_without_ray():
    script = (
        "import sys, recbole_genrec; sys.modules['ray.tune'] = None;"
        "import recbole.quick_start as q;"
        "assert callable(q.run_recbole) and 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
