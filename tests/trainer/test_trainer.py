"""GenRecTrainer: RecBole's numbers, resume, schedules, checks."""

import math
import re
import threading

import numpy as np
import pytest
import recbole.trainer
import torch
from recbole.data.utils import data_preparation as recbole_data_preparation
from recbole.evaluator import Collector
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.model.sequential_recommender import SASRec
from recbole.utils import init_seed
from transformers import get_scheduler

from recbole_genrec.evaluator.collector import GenRecCollector
from recbole_genrec.model.hooks import ModelHooks
from recbole_genrec.model.semantic_id_recommender import SemanticIDRecommender
from recbole_genrec.runs.checkpoint import load_checkpoint
from recbole_genrec.trainer.epoch_losses import EpochLosses
from tests.small import RecBoleSequentialDataset, new_trainer, prepare, toy_config
from tests.trainer.popularity import SMALL, Popularity, popularity_run, popularity_trainer

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
    class Recommending(SemanticIDRecommender):
        def __init__(self, config, dataset):
            SequentialRecommender.__init__(self, config, dataset)
            self.weight = torch.nn.Parameter(torch.linspace(0.0, 1.0, self.n_items))

        def recommend(self, interaction, k):
            top = self.weight.repeat(len(interaction), 1).topk(k)
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
    trainer.fit(run.train)
    checkpoint = load_checkpoint(trainer.last_model_file)
    (total,) = trainer.outcome().train_losses.values()
    assert total > len(run.train) == checkpoint["step"]


def test_parts_of_the_loss_are_summed_on_their_own():
    losses = EpochLosses(0, torch.device("cpu"))
    for part in (1.0, 2.5):
        losses.add((torch.tensor(part), torch.tensor(0.5)))
    assert losses.total() == (3.5, 1.0)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("cosine", "cosine"),
        ("constant", "constant_with_warmup"),
        (None, "constant_with_warmup"),
    ],
)
def test_the_learning_rate_follows_the_schedule_step_by_step(name, meaning, data_path):
    class Watching(Popularity):
        def calculate_loss(self, interaction):
            self.calls.append(self.trainer.optimizer.param_groups[0]["lr"])
            return super().calculate_loss(interaction)

    settings = {"lr_scheduler": name, "warmup_ratio": 0.3, "learner": "adamw"}
    run = popularity_run(data_path, train_batch_size=16, epochs=2, **settings)
    trainer = popularity_trainer(run, Watching)
    assert type(trainer.optimizer) is torch.optim.AdamW
    object.__setattr__(trainer.model, "trainer", trainer)
    trainer.fit(run.train)

    steps = 2 * len(run.train)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.001)
    schedule = get_scheduler(meaning, optimizer, round(0.3 * steps), steps)
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
    trainer.optimizer_step(trainer.optimizer, [next(iter(run.train))], trainer.model.calculate_loss)
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
    class WithTokens(ModelHooks, Popularity):
        def num_tokens(self, interaction):
            return 3 * len(interaction)

    run = popularity_run(data_path)
    popularity_trainer(run, WithTokens).fit(run.train, show_progress=True)
    found = re.findall(r"(\d+) samples/s, (\d+) tokens/s", capsys.readouterr().err)
    assert found and all(int(tokens) == pytest.approx(3 * int(n), abs=3) for n, tokens in found)


@pytest.mark.parametrize("asked", [True, False])
def test_layers_are_compiled_if_asked_for(asked, data_path):
    class Layered(ModelHooks, Popularity):
        def compile_layers(self):
            self.calls.append("compile")

    run = popularity_run(data_path, compile=asked)
    assert popularity_trainer(run, Layered).model.calls == ["compile"] * asked


def test_a_model_without_layers_to_compile_says_so(data_path, caplog):
    popularity_trainer(popularity_run(data_path, compile=True))
    assert "compile: Popularity has no layers to compile" in caplog.text


def test_no_thread_stays_when_training_has_ended(data_path):
    run = popularity_run(data_path)
    before = threading.active_count()
    popularity_trainer(run, Popularity).fit(run.train, run.valid)
    assert threading.active_count() == before


def test_adamw_is_fused(data_path):
    trainer = popularity_trainer(popularity_run(data_path, learner="adamw"))
    assert [group["fused"] for group in trainer.optimizer.param_groups] == [True]
