"""`valid_loss` against the training loss of the same users, without dropout."""

import numpy as np
import pytest
import torch

from recbole_genrec.report.charts import Style
from recbole_genrec.report.sections import learning_curves
from tests.report.cases import comparison
from tests.resume_cases import SETTINGS
from tests.small import new_trainer, prepare, toy_config, write_toy


def trained(model, folder, items=40, **settings):
    """A trainer after an epoch, and its data."""
    settings = {
        **SETTINGS.get(model, {}),
        "valid_loss": True,
        "metric_decimal_place": 6,
        **settings,
    }
    run = prepare(toy_config(model, write_toy(folder, items=items, missing=False), **settings))
    trainer = new_trainer(run)
    trainer.fit(run.train, run.valid)
    return trainer, run


@pytest.mark.parametrize(
    ("model", "settings"),
    [("TIGER", {}), ("SASRec", {}), ("TIGER", {"existing_codes_only": True, "valid_users": 9})],
)
def test_it_is_the_loss_of_the_users_of_validation(model, settings, tmp_path):
    trainer, run = trained(model, tmp_path, eval_batch_size=4, **settings)
    trainer.model.eval()
    total = users = 0
    for interaction, *_ in run.valid:
        with torch.no_grad():
            total += trainer.model.calculate_loss(interaction).item() * len(interaction)
        users += len(interaction)
    expected = total / users
    assert users == settings.get("valid_users", 30)
    assert trainer.valid_results[0]["loss"] == pytest.approx(expected, abs=1e-5)
    assert trainer.best_valid_result["loss"] == trainer.valid_results[0]["loss"]


@pytest.mark.parametrize(("model", "among_items"), [("SemanticSASRec", True), ("RPG", False)])
def test_of_models_that_score_all_items(model, among_items, tmp_path):
    trainer, run = trained(model, tmp_path, repeat_bias="learned" if among_items else "none")
    trainer.model.eval()
    losses = []
    for interaction, *_ in run.valid:
        scores = trainer.model.full_sort_predict(interaction)
        scores = scores.log_softmax(1) if among_items else scores  # those are of codes
        losses += [
            -row[item].item() for row, item in zip(scores, interaction["item_id"], strict=True)
        ]
    assert trainer.valid_results[0]["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)


def test_of_two_streams_it_is_the_mean_over_the_codes_of_both(tmp_path):
    weights = ("text_contrast", "behavior_contrast", "code_reconstruction", "code_recognition")
    none = {f"{name}_weight": 0 for name in weights}
    trainer, run = trained("EAGER", tmp_path, **none)
    trainer.model.eval()
    ((interaction, *_),) = run.valid
    with torch.no_grad():
        text, behavior = trainer.model.calculate_loss(interaction)
    assert len(interaction) == 30
    assert trainer.valid_results[0]["loss"] == pytest.approx((text + behavior).item() / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("model", "settings", "first"),
    [
        ("SemanticSASRec", {"memory_steps": 1}, 1),
        ("SASRecRepeatBias", {}, 0),
        ("BSARecRepeatBias", SETTINGS["BSARec"], 0),
    ],
)
def test_a_mask_spares_targets_that_stand_in_their_history(model, settings, first, tmp_path):
    """`first` is the first item to choose from: RecBole's models give the padding a share."""
    trainer, run = trained(model, tmp_path, items=8, repeat_bias="mask", **settings)
    trainer.model.eval()
    trainer.model.repeat_bias = None
    losses, repeats = [], 0
    for interaction, *_ in run.valid:
        scores = trainer.model.full_sort_predict(interaction).detach().numpy()
        rows = zip(scores, interaction["item_id"], interaction["item_id_list"], strict=True)
        for row, target, history in rows:
            own = row[target].item()
            repeats += int(target in history)
            row[history[history > 0]] = -np.inf
            row[target] = own
            losses.append(np.logaddexp.reduce(row[first:]) - own)
    assert repeats
    assert trainer.valid_results[0]["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("BPR", {}),
        ("SASRec", {"eval_args": {"mode": "uni10"}}),
        ("SASRecCPR", {"reranker_CAN_NUM": "20"}),  # ranks by probabilities
    ],
)
def test_where_there_is_none_a_warning_says_so(model, settings, tmp_path, caplog):
    trainer, _ = trained(model, tmp_path, **settings)
    assert f"valid_loss: {model} has none in this evaluation" in caplog.text
    assert "loss" not in trainer.valid_results[0]


def test_the_report_draws_it():
    shown = comparison()
    curves = shown["models"][1]["learning_curves"]
    epochs = [{**e, "valid": {**e["valid"], "loss": 2.0 + e["epoch"]}} for e in curves[0]["epochs"]]
    model = {**shown["models"][1], "learning_curves": [{**curves[0], "epochs": epochs}]}
    shown = {**shown, "models": [shown["models"][0], model]}
    styles = {each["name"]: Style.of(number) for number, each in enumerate(shown["models"])}
    titles = [figure.title for figure in learning_curves(shown, styles).figures]
    assert titles[-2:] == ["Training loss", "Validation loss"]
