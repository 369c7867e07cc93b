"""GenRecTrainer: RecBole's numbers, resume, schedules, checks."""

import math
import re

import numpy as np
import pytest
import recbole.trainer
import torch
from recbole.data.utils import data_preparation as recbole_data_preparation
from recbole.evaluator import Collector
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.model.sequential_recommender import SASRec
from recbole.utils import InputType, init_seed
from transformers import get_scheduler

from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.collector import GenRecCollector
from recbole_genrec.trainer import GenRecTrainer
from recbole_genrec.trainer.checkpoint import load_checkpoint
from tests.runs import RecBoleSequentialDataset, new_trainer, prepare, toy_config, write_toy

SMALL = {"n_layers": 1, "hidden_size": 16, "inner_size": 16}


@pytest.fixture(autouse=True)
def _work_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data_path(tmp_path):
    return write_toy(tmp_path)


class Popularity(SequentialRecommender):
    """Scores every item by one learned weight; does whatever a test asks for."""

    input_type = InputType.POINTWISE
    needs_semantic_ids = False

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.weight = torch.nn.Parameter(torch.linspace(0.0, 1.0, self.n_items))
        self.calls = []

    def calculate_loss(self, interaction):
        return -self.weight.log_softmax(0)[interaction[self.POS_ITEM_ID]].mean()

    def predict(self, interaction):
        return self.weight[interaction[self.ITEM_ID]]

    def full_sort_predict(self, interaction):
        return self.weight.repeat(len(interaction), 1)


def popularity_trainer(run, model_class=Popularity, **changes):
    init_seed(run.config["seed"], True)
    for key, value in changes.items():
        run.config[key] = value
    return GenRecTrainer(run.config, model_class(run.config, run.train.dataset))


def popularity_run(data_path, **settings):
    return prepare(toy_config(Popularity, data_path, **{"train_neg_sample_args": None, **settings}))


# ---- the same numbers as RecBole


@pytest.mark.parametrize(
    "settings", [{}, {"loss_type": "BPR"}, {"clip_grad_norm": {"max_norm": 0.1}}]
)
def test_losses_and_metrics_are_recboles_seed_for_seed(data_path, settings):
    config = toy_config("SASRec", data_path, **SMALL, epochs=3, **settings)
    run = prepare(config)
    ours = new_trainer(run)
    our_fit = ours.fit(run.train, run.valid, saved=False)
    our_test = ours.evaluate(run.test, load_best_model=False)

    init_seed(config["seed"], True)
    dataset = RecBoleSequentialDataset(config)
    train, valid, test = recbole_data_preparation(config, dataset)
    init_seed(config["seed"], True)
    theirs = recbole.trainer.Trainer(config, SASRec(config, train.dataset))
    assert type(theirs.eval_collector) is Collector
    their_fit = theirs.fit(train, valid, saved=False)
    their_test = theirs.evaluate(test, load_best_model=False)

    assert ours.train_loss_dict == theirs.train_loss_dict
    assert our_fit == their_fit
    assert our_test == their_test
    assert len(set(ours.train_loss_dict.values())) == 3
    for our_weight, their_weight in zip(
        ours.model.parameters(), theirs.model.parameters(), strict=True
    ):
        assert torch.equal(our_weight, their_weight)


def test_a_model_that_was_imported_by_hand_trains_without_anomaly_mode(data_path):
    torch.autograd.set_detect_anomaly(True)  # as `import recbole.model...` does
    popularity_trainer(popularity_run(data_path))
    assert not torch.is_anomaly_enabled()


def test_results_are_plain_floats(data_path):
    run = popularity_run(data_path, metrics=["Recall", "NDCG", "GAUC"])
    trainer = popularity_trainer(run)
    score, valid_result = trainer.fit(run.train, run.valid)
    for value in [score, *valid_result.values(), *trainer.evaluate(run.test).values()]:
        assert type(value) is float


def test_the_list_of_a_model_is_evaluated_without_dense_scores(data_path):
    class Recommending(Popularity):
        def recommend(self, interaction, k):
            top = super().full_sort_predict(interaction).topk(k)
            return top.indices, top.values

        def full_sort_predict(self, interaction):
            pytest.fail("scored all items")

    metrics = ["Recall", "NDCG", "ItemCoverage", "AveragePopularity"]
    run = popularity_run(data_path, metrics=metrics)
    dense = popularity_trainer(run)
    dense.eval_collector.data_collect(run.train)
    expected = dense.evaluate(run.test, load_best_model=False)
    listed = popularity_trainer(run, Recommending)
    listed.eval_collector.data_collect(run.train)
    assert listed.evaluate(run.test, load_best_model=False) == expected
    assert torch.equal(listed.recommended_items, dense.recommended_items)
    assert listed.recommended_items.shape == (len(run.test._dataset), 5)


def test_an_evaluation_that_was_broken_off_leaves_nothing(data_path, monkeypatch):
    run = popularity_run(data_path)
    trainer = popularity_trainer(run)
    expected = trainer.evaluate(run.test, load_best_model=False)
    collect = GenRecCollector.eval_batch_collect

    def broken_off(*arguments):
        collect(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(GenRecCollector, "eval_batch_collect", broken_off)
        trainer.evaluate(run.valid, load_best_model=False)
    assert trainer.evaluate(run.test, load_best_model=False) == expected
    assert len(trainer.recommended_items) == len(run.test._dataset)


def test_sampled_negatives_are_the_same_in_every_evaluation(data_path):
    run = popularity_run(data_path, eval_args={"mode": "uni20"})
    trainer = popularity_trainer(run)
    np.random.seed(1)
    first = trainer.evaluate(run.test, load_best_model=False)
    drawn = np.random.rand()
    assert trainer.evaluate(run.test, load_best_model=False) == first
    assert trainer.recommended_items is None
    np.random.seed(1)
    assert np.random.rand() == drawn  # the sequence of training goes on undisturbed


# ---- checkpoints


def test_resume_continues_the_optimiser_the_schedule_and_the_best_result(data_path):
    settings = {**SMALL, "lr_scheduler": "linear", "warmup_ratio": 0.25, "stopping_step": 10}
    settings |= {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "shuffle": False}
    run = prepare(toy_config("SASRec", data_path, **settings, epochs=4))
    whole = new_trainer(run)
    whole.fit(run.train, run.valid)

    first = new_trainer(run)
    first.saved_model_file = str(data_path / "saved" / "first.pth")
    first.epochs = 2
    first._set_up_lr_scheduler(2 * len(run.train))  # the schedule of all four epochs
    first.fit(run.train, saved=True)
    first.best_valid_score, first.best_valid_result = 0.9, {"ndcg@5": 0.9}
    first._save_checkpoint(1)

    second = new_trainer(run)
    second.resume_checkpoint(first.saved_model_file)
    assert second.best_valid_score == 0.9 and second.best_valid_result == {"ndcg@5": 0.9}
    score, result = second.fit(run.train, run.valid)
    assert (score, result) == (0.9, {"ndcg@5": 0.9})  # nothing was better
    assert list(second.train_loss_dict) == [0, 1, 2, 3]
    assert second.train_loss_dict == whole.train_loss_dict
    assert second.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"]
    for mine, expected in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, expected)
    assert load_checkpoint(first.saved_model_file)["epoch"] == 1  # the best one is still there


def test_the_best_checkpoint_holds_its_own_result(data_path):
    """RecBole keeps the best result only after it has saved; a resumed run would lose it."""
    run = popularity_run(data_path)
    trainer = popularity_trainer(run)
    score, result = trainer.fit(run.train, run.valid)
    checkpoint = load_checkpoint(trainer.saved_model_file)
    assert (checkpoint["best_valid_score"], checkpoint["best_valid_result"]) == (score, result)
    assert checkpoint["epoch"] == trainer.best_epoch
    assert checkpoint["valid_results"][trainer.best_epoch] == result


def test_resuming_a_finished_run_leaves_its_checkpoint(data_path):
    run = popularity_run(data_path)
    trainer = popularity_trainer(run)
    trainer.fit(run.train, run.valid)
    again = popularity_trainer(run)
    again.resume_checkpoint(trainer.saved_model_file)
    again.fit(run.train, run.valid)
    assert load_checkpoint(trainer.saved_model_file)["epoch"] == 0
    assert again.best_epoch == 0


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model", r"model \[Other\], not of \[Popularity\]"),
        ("dataset", r"dataset \[Other\], not of \[toy\]"),
    ],
)
def test_checkpoints_of_other_runs_are_refused(data_path, key, message):
    run = popularity_run(data_path)
    trainer = popularity_trainer(run, **{key: "Other"})
    trainer._save_checkpoint(0)
    expected = {"model": "Popularity", "dataset": "toy"}[key]
    other = popularity_trainer(run, **{key: expected})
    for use in (other.resume_checkpoint, lambda f: other.evaluate(run.test, model_file=f)):
        with pytest.raises(InputError, match=message):
            use(trainer.saved_model_file)


def test_checkpoints_of_other_data_are_refused(data_path, tmp_path):
    trainer = popularity_trainer(popularity_run(data_path))
    trainer._save_checkpoint(0)
    other = popularity_trainer(popularity_run(write_toy(tmp_path / "other", missing=False)))
    message = (
        r"trained on other data: toy\.item, toy\.user .of toy in \[.*other/toy\]\) should be as"
    )
    for use in (other.resume_checkpoint, lambda f: other.evaluate([None], model_file=f)):
        with pytest.raises(InputError, match=message):
            use(trainer.saved_model_file)


def test_checkpoints_of_other_sizes_are_refused(data_path):
    trainer = popularity_trainer(popularity_run(data_path))
    trainer._save_checkpoint(0)
    smaller = popularity_run(data_path, item_inter_num_interval="[6,inf)")
    with pytest.raises(InputError, match=r"does not fit [^@]*weight"):
        popularity_trainer(smaller).resume_checkpoint(trainer.saved_model_file)


def test_the_name_of_the_checkpoint_follows_from_the_settings(data_path):
    names = [
        popularity_trainer(popularity_run(data_path, **settings)).saved_model_file
        for settings in ({}, {"show_progress": False}, {"learning_rate": 0.5}, {"seed": 8})
    ]
    assert names[0] == names[1] and len(set(names)) == 3
    assert "Popularity-toy-" in names[0]


def test_hooks_of_the_model_are_called_and_its_extra_values_kept(data_path):
    class Hooked(Popularity):
        def parameter_groups(self):
            return [{"params": [self.weight], "lr": 0.125}]

        def on_epoch_start(self, epoch):
            self.calls.append(("start", epoch))

        def on_epoch_end(self, epoch):
            self.calls.append(("end", epoch))

        def extra_checkpoint(self):
            return {"calls": self.calls, "table": torch.ones(2)}

        def load_extra(self, extra):
            self.calls = extra["calls"]

    run = popularity_run(data_path, epochs=2)
    trainer = popularity_trainer(run, Hooked)
    assert trainer.optimizer.param_groups[0]["lr"] == 0.125
    trainer.fit(run.train)
    calls = [("start", 0), ("end", 0), ("start", 1), ("end", 1)]
    assert trainer.model.calls == calls
    fresh = popularity_trainer(run, Hooked)
    fresh.evaluate(run.test, model_file=trainer.saved_model_file)
    assert fresh.model.calls == calls


# ---- training


def test_nan_ends_training_and_names_the_batch(data_path):
    class Failing(Popularity):
        def calculate_loss(self, interaction):
            self.calls.append(None)
            loss = super().calculate_loss(interaction)
            return loss, loss * (math.nan if len(self.calls) == 3 else 0)

    run = popularity_run(data_path, train_batch_size=16)
    with pytest.raises(ValueError, match=r"nan in epoch 0, batch 2 \(parts of the loss: \[\d.*nan"):
        popularity_trainer(run, Failing).fit(run.train)


def test_losses_with_parts_are_summed_by_part(data_path):
    class TwoParts(Popularity):
        def calculate_loss(self, interaction):
            loss = super().calculate_loss(interaction)
            return loss, 0 * loss + 1.0

    run = popularity_run(data_path, train_batch_size=16)
    trainer = popularity_trainer(run, TwoParts)
    sums = trainer._train_epoch(run.train, 0)
    assert sums[1] == len(run.train) and sums[0] > 0


def test_the_learning_rate_follows_the_schedule_step_by_step(data_path):
    class Watching(Popularity):
        def calculate_loss(self, interaction):
            self.calls.append(self.trainer.optimizer.param_groups[0]["lr"])
            return super().calculate_loss(interaction)

    settings = {"lr_scheduler": "cosine", "warmup_ratio": 0.3, "learner": "adamw"}
    run = popularity_run(data_path, train_batch_size=16, epochs=2, **settings)
    trainer = popularity_trainer(run, Watching)
    assert type(trainer.optimizer) is torch.optim.AdamW
    object.__setattr__(trainer.model, "trainer", trainer)
    trainer.fit(run.train)

    steps = 2 * len(run.train)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.001)
    schedule = get_scheduler("cosine", optimizer, round(0.3 * steps), steps)
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step(), schedule.step()
    assert trainer.model.calls == expected


def test_gradients_are_clipped_after_they_are_unscaled(data_path):
    """SGD with rate 1 moves the weights by the clipped norm; RecBole clips 65536 times it."""
    settings = {"learner": "sgd", "learning_rate": 1.0, "clip_grad_norm": {"max_norm": 1e-3}}
    run = popularity_run(data_path, **settings, enable_scaler=True)
    trainer = popularity_trainer(run)
    before = trainer.model.weight.detach().clone()
    trainer._train_step([next(iter(run.train))], trainer.model.calculate_loss)
    assert (trainer.model.weight - before).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_mixed_precision_is_bfloat16(data_path, monkeypatch):
    asked, autocast = [], torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda *a, **k: asked.append(k) or autocast(*a, **k))

    class Watching(Popularity):
        def calculate_loss(self, interaction):
            self.calls.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
            return super().calculate_loss(interaction)

    run = popularity_run(data_path, enable_amp=True)
    trainer = popularity_trainer(run, Watching)
    trainer.fit(run.train)
    assert set(trainer.model.calls) == {torch.bfloat16}
    assert asked[0] == {"dtype": torch.bfloat16, "enabled": True}  # float16 is a GPU's default


def test_progress_shows_samples_per_second(data_path, capsys):
    run = popularity_run(data_path)
    popularity_trainer(run).fit(run.train, run.valid, show_progress=True)
    shown = capsys.readouterr().err
    assert "Train     0" in shown and "samples/s" in shown and "Evaluate" in shown


def test_progress_shows_tokens_per_second_where_there_are_any(data_path, capsys):
    class WithTokens(Popularity):
        def num_tokens(self, interaction):
            return 3 * len(interaction)

    run = popularity_run(data_path)
    popularity_trainer(run, WithTokens).fit(run.train, show_progress=True)
    found = re.findall(r"(\d+) samples/s, (\d+) tokens/s", capsys.readouterr().err)
    assert found and all(int(tokens) == pytest.approx(3 * int(n), abs=3) for n, tokens in found)


@pytest.mark.parametrize("asked", [True, False])
def test_layers_are_compiled_if_asked_for(asked, data_path):
    class Layered(Popularity):
        def compile_layers(self):
            self.calls.append("compile")

    run = popularity_run(data_path, compile=asked)
    assert popularity_trainer(run, Layered).model.calls == ["compile"] * asked


def test_adamw_is_fused(data_path):
    trainer = popularity_trainer(popularity_run(data_path, learner="adamw"))
    assert [group["fused"] for group in trainer.optimizer.param_groups] == [True]
