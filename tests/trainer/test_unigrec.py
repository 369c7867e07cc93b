"""UniGRec from raw files to the test result, stage by stage."""

import logging

import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_genrec.errors import InputError
from recbole_genrec.inference import Recommender
from recbole_genrec.model.unigrec import UniGRec
from recbole_genrec.quick_start import run_recbole_genrec
from recbole_genrec.runs.checkpoint import load_checkpoint
from recbole_genrec.trainer import GenRecTrainer, TrainerCallback
from tests.callbacks import At, fail
from tests.small import NAME, SMALL_T5, new_trainer, prepare, toy_config, write_toy

SMALL = {
    "item_text_fields": ["title", "brand"],
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "show_progress": False,
    "codebook_sizes": [6, 6],
    "append_size": 41,
    "text_embedding_dim": None,
    "tokenizer_hidden_sizes": [8],
    "tokenizer_code_dim": 4,
    "tokenizer_epochs": 3,
    "tokenizer_temperature_max": 0.1,
    "tokenizer_temperature_min": 0.1,
    "teacher_hidden_size": 8,
    "teacher_epochs": 1,
    "teacher_config": {"n_layers": 1, "inner_size": 8},
    "distillation_warmup_epochs": 1,
    "joint_tokenizer_learning_rate": 0.05,  # high enough to move codes within an epoch
    **SMALL_T5,
    "beam_size": 10,
    "epochs": 3,
    "finetune_epochs": 2,
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A folder with a data set, in which a run leaves its files."""
    monkeypatch.chdir(tmp_path)
    return write_toy(tmp_path, missing=False)


def prepared(toy, **settings):
    """Configuration, trainer and loaders of a run, after the stages before joint training."""
    config = toy_config("UniGRec", toy, **{**SMALL, **settings})
    run = prepare(config)
    run.trainer = new_trainer(run)
    return run


class Watching(TrainerCallback):
    """Notes (epoch, whether the tokenizer is trained, learning rates) where an epoch begins."""

    def __init__(self):
        self.seen = []

    def on_epoch_start(self, trainer):
        if isinstance(trainer.model, UniGRec):  # the teacher is trained as well
            rates = {group["part"]: group["lr"] for group in trainer.optimizer.param_groups}
            self.seen.append((trainer.state.epoch, trainer.model.tokenizer_is_trained, rates))


@pytest.fixture
def epochs(monkeypatch):
    """What a `Watching` callback of all trainers notes."""
    watching = Watching()
    monkeypatch.setattr(GenRecTrainer, "callbacks", [watching])
    return watching.seen


def test_one_command_goes_through_all_stages(toy, epochs, caplog):
    caplog.set_level(logging.INFO)
    settings = {**SMALL, "data_path": str(toy), "MAX_ITEM_LIST_LENGTH": 6}
    result = run_recbole_genrec("UniGRec", NAME, config_dict=settings)
    assert 0 <= result["test_result"]["recall@5"] <= 1
    assert [epoch for epoch, *_ in epochs] == [0, 1, 2, 3, 4]
    messages = [record.getMessage() for record in caplog.records]
    order = (
        "Semantic IDs written to",
        "Teacher SASRec: training",
        "Teacher SASRec written to",
        "Phase 1 of 2, joint training: epochs 0 to 2, learning rates recommender 0.005 (constant_",
        "Hard identifiers after epoch 0",
        "Phase 2 of 2, fine-tuning: epochs 3 to 4, learning rates recommender 0.0004",
    )
    places = [[start in m for m in messages].index(True) for start in order]
    assert places == sorted(places)


def test_joint_training_moves_the_tokenizer_and_fine_tuning_does_not(toy, epochs):
    run = prepared(toy)
    model = run.trainer.model
    before = {name: weight.clone() for name, weight in model.tokenizer.named_parameters()}
    run.trainer.fit(run.train, run.valid)
    assert [trained for _, trained, _ in epochs] == [True] * 3 + [False] * 2
    assert all(len(rates) == 3 for _, _, rates in epochs[:3])
    fine = {"recommender": run.config["finetune_learning_rate"]}
    assert all(rates == fine for _, _, rates in epochs[3:])
    assert model.tokenizer_is_trained  # nothing stays frozen
    for name, weight in model.tokenizer.named_parameters():
        assert not torch.equal(weight, before[name]), name
    scores = [run.trainer.valid_results[epoch]["ndcg@5"] for epoch in range(3)]
    best = max(range(3), key=lambda epoch: (scores[epoch], epoch))  # fine-tuning starts from there
    assert [record["epoch"] for record in model.identifier_history] == list(range(best + 1))


def test_without_fine_tuning_there_are_two_stages(toy, epochs):
    run = prepared(toy, finetune_epochs=0)
    run.trainer.fit(run.train, run.valid)
    assert [epoch for epoch, *_ in epochs] == [0, 1, 2]


def test_fine_tuning_waits_by_its_own_count_for_a_better_epoch(toy, epochs, monkeypatch):
    settings = {"epochs": 9, "finetune_epochs": 9, "distillation_warmup_epochs": 18}
    run = prepared(toy, **settings, stopping_step=1, finetune_stopping_step=2)
    monkeypatch.setattr(GenRecTrainer, "evaluate", scored(-1.0))
    run.trainer.fit(run.train, run.valid)
    assert [epoch for epoch, *_ in epochs] == [0, 1, 2, 9, 10, 11]


def test_the_best_checkpoint_is_whole(toy):
    run = prepared(toy, finetune_epochs=0)
    score, _ = run.trainer.fit(run.train, run.valid)
    result = run.trainer.evaluate(run.valid)  # loads the best epoch
    assert result["ndcg@5"] == score
    model = run.trainer.model
    codes = model.tokenizer.encode(model.item_embeddings[1:])
    assert torch.equal(model.ids.codes[1:, :-1], codes)

    recommender = Recommender.from_checkpoint(run.trainer.saved_model_file, "cpu")
    history = ["i3", "i4", "i5"]
    tokens = run.train.dataset.item_tokens
    ids = torch.tensor([[tokens.index(item) for item in history]])
    interaction = Interaction({"item_id_list": ids, "item_length": torch.tensor([3])})
    items, scores = model.eval().recommend(interaction, 5)
    answers = recommender.recommend([history], top_k=5)[0]
    assert [answer["item"] for answer in answers] == [tokens[item] for item in items[0]]
    assert [answer["log_probability"] for answer in answers] == pytest.approx(scores[0].tolist())


def scored(sign):
    """An `evaluate` by whose score each epoch is better, or worse, than the one before."""
    return lambda trainer, *_, **__: {"ndcg@5": sign * (trainer.state.epoch + 1)}


@pytest.mark.parametrize(("killed_in", "left"), [(1, [1, 2, 3, 4]), (4, [4])])
def test_training_resumes_in_the_stage_that_was_interrupted(
    toy, epochs, monkeypatch, killed_in, left
):
    first = prepared(toy)
    monkeypatch.setattr(GenRecTrainer, "evaluate", scored(1.0))  # every epoch is saved as the best
    first.trainer.callbacks = [At("on_epoch_start", killed_in + 1, fail(KeyboardInterrupt))]
    with pytest.raises(KeyboardInterrupt):
        first.trainer.fit(first.train, first.valid)
    before = load_checkpoint(first.trainer.saved_model_file)["extra"]["identifier_history"]

    second = prepared(toy)
    second.trainer.resume_checkpoint(first.trainer.saved_model_file)
    second.trainer.fit(second.train, second.valid)
    assert [(epoch, trained) for epoch, trained, _ in epochs] == [(n, n < 3) for n in left]
    checkpoint = load_checkpoint(second.trainer.saved_model_file)
    after = checkpoint["extra"]["identifier_history"]
    assert checkpoint["epoch"] == 4
    assert [record["epoch"] for record in after] == [0, 1, 2]
    assert after[: len(before)] == before


def test_fine_tuning_has_no_distillation_also_when_it_is_resumed(toy, monkeypatch):
    terms = {}
    calculate_loss = UniGRec.calculate_loss

    def counted(model, interaction):
        losses = calculate_loss(model, interaction)
        terms[model.epoch] = len(losses)
        return losses

    monkeypatch.setattr(UniGRec, "calculate_loss", counted)
    monkeypatch.setattr(GenRecTrainer, "evaluate", scored(1.0))  # every epoch is saved as the best
    first = prepared(toy)
    first.trainer.callbacks = [At("on_epoch_start", 5, fail(KeyboardInterrupt))]
    with pytest.raises(KeyboardInterrupt):
        first.trainer.fit(first.train, first.valid)
    assert terms == {0: 2, 1: 4, 2: 4, 3: 1}  # a warm-up, both distillations, T5 alone
    second = prepared(toy)
    second.trainer.resume_checkpoint(first.trainer.saved_model_file)
    second.trainer.fit(second.train, second.valid)
    assert terms == {0: 2, 1: 4, 2: 4, 3: 1, 4: 1}
    ours, theirs = (
        run.trainer.model.distillation.tokenizer_side.state_dict() for run in (first, second)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_wrong_tokenizer_is_refused_before_the_data_are_read(toy):
    with pytest.raises(InputError, match="tokenizer: UniGRec needs SoftRQVAE, found RQVAE"):
        run_recbole_genrec(
            "UniGRec", NAME, config_dict={"data_path": str(toy), "tokenizer": "RQVAE"}
        )
