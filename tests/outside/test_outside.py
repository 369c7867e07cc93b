"""Models that live outside the package do all that ours do, without an edit of it."""

import json

import pytest
import torch

from recbole_genrec import Recommender, run_recbole_genrec
from recbole_genrec.compare import compare
from recbole_genrec.evaluator.recommendations import Recommendations
from recbole_genrec.runs.checkpoint import load_checkpoint
from tests.callbacks import At, Killed, fail
from tests.outside.gru_writer import GRUWriter
from tests.outside.turn_taker import TurnTaker
from tests.outside.two_views import TwoViews
from tests.resume_cases import SETTINGS
from tests.small import NAME, new_trainer, prepare, toy_config, write_toy

ITEMS = {"item_text_fields": ["title", "brand"], "codebook_sizes": [8, 8], "stopping_step": 20}
TEACHER = {"teacher_epochs": 1, "teacher_hidden_size": 8}
CASES = {
    "GRUWriter": {**ITEMS, "tokenizer": "RQKMeans"},
    "TurnTaker": {**SETTINGS["TIGER"], "tokenizer": "RQVAE"},
    "SASRec": {"hidden_size": 8, "inner_size": 8, "n_layers": 1},
    "TwoViews": {**ITEMS, **TEACHER, "tokenizer": "RQKMeans"},
}
OUTSIDE = ["GRUWriter", "TurnTaker", "TwoViews"]


@pytest.fixture
def data_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_toy(tmp_path, missing=False)


def run(model, data_path, **settings):
    """A run from the settings to the test, as of the command line; returns its result."""
    config = toy_config(model, data_path, **{"epochs": 3, **CASES[model], **settings})
    given = {**config.external_config_dict, "results_dir": str(data_path / "results")}
    return run_recbole_genrec(model, NAME, config_dict=given)


@pytest.mark.parametrize("model", OUTSIDE)
def test_stopped_training_ends_as_if_it_had_not_been(model, data_path):
    def attempt(name):
        config = toy_config(model, data_path, **CASES[model], epochs=4, checkpoint_step=3)
        data = prepare(config)
        trainer = new_trainer(data)
        trainer.saved_model_file = str(data_path / "saved" / f"{name}.pth")
        return trainer, data

    whole, data = attempt("whole")
    expected = whole.fit(data.train, data.valid), whole.evaluate(data.test)
    stopped, data = attempt("stopped")
    stopped.callbacks = [At("on_step_start", 2 * len(data.train) - 1, fail(Killed))]
    with pytest.raises(Killed):
        stopped.fit(data.train, data.valid)
    again, data = attempt("stopped")
    again.resume("auto")
    assert (again.fit(data.train, data.valid), again.evaluate(data.test)) == expected
    weights = load_checkpoint(whole.last_model_file)["state_dict"]
    for name, weight in load_checkpoint(again.last_model_file)["state_dict"].items():
        assert torch.equal(weight, weights[name]), name


@pytest.mark.parametrize("model", OUTSIDE)
def test_results_keep_its_codes_and_are_compared(model, data_path):
    run(model, data_path)
    run("SASRec", data_path)
    (folder,) = (data_path / "results").glob(f"{model}-*")
    record = json.loads((folder / "result.json").read_text())
    assert record["status"] == "finished" and record["test_result"]
    lists = Recommendations.load(folder / "recommendations.npz")
    assert lists.codes.keys() == ({"", "company"} if model == "TwoViews" else {""})
    for codes in map(torch.from_numpy, lists.codes.values()):
        assert len(codes) == 41 and len(codes[1:].unique(dim=0)) == 40
    names = {each["name"] for each in compare([data_path / "results"])["models"]}
    assert names == {"SASRec", model}


@pytest.mark.parametrize("model", ["GRUWriter", "TurnTaker"])
def test_it_answers_for_histories_and_new_items(model, data_path):
    run(model, data_path)
    file = next(p for p in (data_path / "saved").glob(f"{model}-*.pth") if "-last" not in p.name)
    recommender = Recommender.from_checkpoint(file)
    (answer,) = recommender.recommend([["i1", "i2"]], top_k=40)
    assert {found["item"] for found in answer} == {f"i{n}" for n in range(40)}
    recommender.add_items(["new", "newer"], texts=["word1 word1 tail", "word2 tail"])
    model = recommender.model
    rows = (model.n_items, len(model.items.tokens), len(model.items.titles), model.ids.num_items)
    assert rows == (43, 43, 43, 43)
    assert len(model.ids.tokens) == len(model.ids.codes) == model.ids.trie.num_items + 1 == 43
    assert len(model.extra_checkpoint()["items"]["tokens"]) == 43
    assert len(model.extra_checkpoint()["items"]["ids"][""]["codes"]) == 43
    model.load_state_dict(model.state_dict())
    (answer,) = recommender.recommend([["i1", "new"]], top_k=42)
    assert {"new", "newer"} < {found["item"] for found in answer}


def test_new_items_of_a_model_that_needs_their_company_are_refused_in_one_line(data_path):
    run("TwoViews", data_path)
    file = next(p for p in (data_path / "saved").glob("TwoViews-*.pth") if "-last" not in p.name)
    recommender = Recommender.from_checkpoint(file)
    assert len(recommender.recommend([["i1", "i2"]], top_k=40)[0]) == 40
    with pytest.raises(ValueError, match="need collaborative embeddings .* found those of text"):
        recommender.add_items(["new"], texts=["word1 word1 tail"])
    assert "new" not in recommender.model.items.tokens


@torch.no_grad()
def test_the_default_search_is_that_of_scoring_every_item(data_path):
    data = prepare(toy_config("GRUWriter", data_path, **CASES["GRUWriter"]))
    model = new_trainer(data).model.eval()
    batch = next(iter(data.test))[0]
    exact = []
    for item in range(1, model.n_items):
        batch["item_id"] = torch.full((len(batch),), item)
        exact.append(model.predict(batch))
    best, items = torch.stack(exact, 1).sort(descending=True)
    found, scores = model.recommend(batch, model.n_items - 1)
    torch.testing.assert_close(scores, best)
    clear = torch.nn.functional.pad((best.diff(dim=1).abs() > 1e-5), (1, 0), value=True)
    clear &= torch.nn.functional.pad((best.diff(dim=1).abs() > 1e-5), (0, 1), value=True)
    assert torch.equal(found[clear], items[clear] + 1)
    allowed = torch.tensor([7, 3, 30])
    few, few_scores = model.recommend(batch, 5, allowed)
    assert torch.equal(few[:, :3].sort().values, allowed.sort().values.expand(len(batch), -1))
    assert (few[:, 3:] == 0).all() and (few_scores[:, 3:] == -torch.inf).all()


def test_the_classes_are_what_their_files_say():
    for model in (GRUWriter, TurnTaker, TwoViews):
        assert model.__module__.startswith("tests.outside.")
