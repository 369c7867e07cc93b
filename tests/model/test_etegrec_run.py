"""ETEGRec from raw files to results, a report and answers for raw histories."""

import json
import logging

import pytest
import torch

from recbole_genrec import Recommender
from recbole_genrec.compare import compare
from recbole_genrec.errors import InputError
from recbole_genrec.quick_start import run_recbole_genrec
from recbole_genrec.report import write_report
from recbole_genrec.trainer import GenRecTrainer
from tests.callbacks import Epochs
from tests.resume_cases import SETTINGS
from tests.small import NAME, toy_config, write_toy


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run, what it has logged, and its epochs."""
    folder = tmp_path_factory.mktemp("etegrec")
    write_toy(folder, missing=False)
    settings = toy_config("ETEGRec", folder).external_config_dict
    settings |= {**SETTINGS["ETEGRec"], "results_dir": str(folder / "results"), "eval_step": 1}
    epochs, listener, root = Epochs(), Listener(), logging.getLogger()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(GenRecTrainer, "callbacks", [epochs])
        patch.setattr(root, "handlers", [*root.handlers, listener])
        level = root.level
        root.setLevel(logging.INFO)
        run_recbole_genrec("ETEGRec", NAME, config_dict=settings)
        root.setLevel(level)
    return folder, listener.messages, epochs.seen


class Listener(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def recommender(run):
    files = (run[0] / "saved").glob("ETEGRec-*.pth")
    file = next(file for file in files if "-last" not in file.name)
    return Recommender.from_checkpoint(file, device="cpu")


def test_one_command_goes_through_all_stages(run):
    _, messages, epochs = run
    assert epochs == [0, 0, 1, 2, 3, 4, 5]  # first that of the sequential model
    order = (
        "Teacher SASRec: training",
        "RQVAE: training on 40 items",
        "Phase 1 of 2, alternation: epochs 0 to 3, learning rates tokenizer 0.05 (cosine, warm-up",
        "Hard identifiers after epoch 0",
        "Hard identifiers after epoch 2",
        "Phase 2 of 2, fine-tuning: epochs 4 to 5, learning rates recommender 0.0005 (cosine",
    )
    places = [[start in message for message in messages].index(True) for start in order]
    assert places == sorted(places)
    changes = [message for message in messages if "Hard identifiers after" in message]
    assert len(changes) == 2  # one each cycle


def test_results_are_compared_and_reported(run, tmp_path):
    folder, _, _ = run
    (result,) = (folder / "results").glob("ETEGRec-*/result.json")
    record = json.loads(result.read_text())
    assert record["status"] == "finished" and record["test_result"]
    assert record["tokenizer_reports"][""]["largest_bucket"] <= 41
    comparison = compare([folder / "results"])
    assert [model["name"] for model in comparison["models"]] == ["ETEGRec"]
    report = write_report(comparison, tmp_path / "report")
    assert "RQVAE, 40 items" in (report / "report.html").read_text(encoding="utf-8")


def test_answers_for_raw_histories(recommender):
    answers = recommender.recommend([["i1", "i2", "i3"], ["i7"]], top_k=40)
    for answer in answers:
        assert {found["item"] for found in answer} == {f"i{n}" for n in range(40)}
        scores = [found["log_probability"] for found in answer]
        assert scores == sorted(scores, reverse=True)
    (alone,) = recommender.recommend([["i7"]], top_k=40)
    assert [found["item"] for found in alone] == [found["item"] for found in answers[1]]


@pytest.mark.parametrize("given", [{"texts": ["word1"]}, {"embeddings": torch.ones(1, 8)}])
def test_new_items_are_refused_in_one_line_that_says_what_is_missing(recommender, given):
    message = "^new items need collaborative embeddings, [^\n]*, found those of text[^\n]*$"
    with pytest.raises(InputError, match=message):
        recommender.add_items(["new"], **given)
    assert "new" not in recommender.model.items.tokens


def test_a_new_item_with_a_collaborative_embedding_can_be_recommended(recommender):
    model = recommender.model
    old = model.item_embeddings[1:2]
    model.add_items(["new"], ["new"], {"collaborative": old.clone()})
    assert torch.equal(model.ids.codes[-1, :-1], model.tokenizer.encode(old)[0])
    (answer,) = recommender.recommend([["i1", "new"]], top_k=41)
    assert "new" in {found["item"] for found in answer}
    assert len(model.item_embeddings) == len(model.items.tokens) == 42
