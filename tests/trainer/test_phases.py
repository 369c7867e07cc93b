"""Phases as data: parts in turn, their learning rates and schedules, borders, exact resume."""

import pytest
import torch
from transformers import get_scheduler

from recbole_genrec.errors import InputError
from recbole_genrec.model.hooks import ModelHooks
from recbole_genrec.model.phases import LearningRate, Phase
from recbole_genrec.runs.checkpoint import load_checkpoint
from recbole_genrec.trainer import GenRecTrainer, TrainerCallback
from tests.callbacks import At, Epochs, Killed, fail
from tests.trainer.popularity import Popularity, popularity_run, popularity_trainer
from tests.trainer.test_resume import assert_same, outcome

LINEAR = LearningRate(0.1, "linear", 0.25)
COSINE = LearningRate(0.02, "cosine")
FLAT = LearningRate(0.05)


class TwoParts(ModelHooks, Popularity):
    """Scores items by the sum of two weights, with dropout; trained as a test asks for."""

    plan: list[Phase]

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.other = torch.nn.Parameter(torch.linspace(1.0, 0.0, self.n_items))
        self.unused = torch.nn.Parameter(torch.ones(1))  # part of `second`, never has a gradient

    def parts(self):
        return {"first": [self.weight], "second": [self.other, self.unused], "nobody": []}

    def phases(self, config):
        return self.plan

    def calculate_loss(self, interaction):
        scores = torch.dropout(self.weight, 0.2, True) + self.other
        return -scores.log_softmax(0)[interaction[self.POS_ITEM_ID]].mean()

    def full_sort_predict(self, interaction):
        return (self.weight + self.other).repeat(len(interaction), 1)


ALTERNATING = Phase("alternating", 5, 99, [{"first": LINEAR}, {"second": COSINE, "nobody": FLAT}])
BOTH = Phase("both", 2, 99, [{"first": FLAT, "second": LINEAR}])
LAST = Phase("one", 2, 99, [{"second": FLAT}], from_best=True)


def planned(*phases):
    return type("TwoParts", (TwoParts,), {"plan": list(phases)})


class Watching(TrainerCallback):
    """Notes what is seen before each step: epoch, learning rates, weights, what has a gradient."""

    def __init__(self):
        self.seen = []

    def on_step_start(self, trainer, batches):
        model = trainer.model
        rates = {group["part"]: group["lr"] for group in trainer.optimizer.param_groups}
        trained = [name for name, each in model.named_parameters() if each.requires_grad]
        weights = {name: each.detach().clone() for name, each in model.named_parameters()}
        self.seen.append((trainer.state.epoch, rates, trained, weights))

    def of(self, *epochs):
        return [each[1:] for each in self.seen if each[0] in epochs]


@pytest.fixture
def run(data_path):
    settings = {"train_batch_size": 16, "learner": "adamw", "weight_decay": 0.1}
    return popularity_run(data_path, **settings)


def trainer_of(run, *phases, name="run"):
    trainer = popularity_trainer(run, planned(*phases))
    trainer.saved_model_file = f"saved/{name}.pth"
    trainer.callbacks = [Watching()]
    return trainer


def test_parts_take_turns_and_a_frozen_one_does_not_move_at_all(run):
    """Neither weight decay nor the momentum of AdamW."""
    trainer = trainer_of(run, ALTERNATING)
    trainer.fit(run.train)
    watching = trainer.callbacks[0]
    for epoch in range(5):
        steps = watching.of(epoch)
        assert len(steps) == len(run.train)
        trained = ["weight"] if epoch % 2 == 0 else ["other", "unused"]
        assert all(step[1] == trained for step in steps)
        frozen, moving = ("other", "weight") if epoch % 2 == 0 else ("weight", "other")
        first, last = steps[0][2], steps[-1][2]
        assert torch.equal(first[frozen], last[frozen])
        assert not torch.equal(first[moving], last[moving])
    assert all(parameter.requires_grad for parameter in trainer.model.parameters())


def test_each_part_follows_a_schedule_of_the_steps_in_which_it_is_trained(run):
    trainer = trainer_of(run, ALTERNATING)
    trainer.fit(run.train)
    n = len(run.train)
    for part, rate, epochs in (("first", LINEAR, (0, 2, 4)), ("second", COSINE, (1, 3))):
        found = [rates[part] for rates, *_ in trainer.callbacks[0].of(*epochs)]
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate.peak)
        total = len(epochs) * n
        warmup = round(rate.warmup_ratio * total)
        schedule = get_scheduler(rate.schedule, optimizer, warmup, total)
        expected = []
        for _ in range(total):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step(), schedule.step()
        assert found == expected
    assert trainer.state.part_steps == {"first": 3 * n, "second": 2 * n, "nobody": 2 * n}


def test_two_optimizers_by_hand_give_the_same_weights(run):
    """Against a loop that knows nothing of phases: an optimizer for each part, in turn."""
    no_schedule = [{"first": FLAT}, {"second": LearningRate(0.02)}]
    trainer = trainer_of(run, Phase("alternating", 4, 99, no_schedule))
    start = {name: each.detach().clone() for name, each in trainer.model.named_parameters()}
    random = torch.get_rng_state()
    trainer.fit(run.train, saved=False)
    found = {name: each.detach().clone() for name, each in trainer.model.named_parameters()}

    model = trainer.model
    with torch.no_grad():
        for name, each in model.named_parameters():
            each.copy_(start[name])
    torch.set_rng_state(random)
    run.train.generator.manual_seed(run.config["seed"])
    settings = {"weight_decay": 0.1, "fused": True}
    optimizers = [
        torch.optim.AdamW([model.weight], lr=0.05, **settings),
        torch.optim.AdamW([model.other], lr=0.02, **settings),
    ]
    for epoch in range(4):
        for batch in run.train:
            model.zero_grad()
            model.calculate_loss(batch).backward()
            optimizers[epoch % 2].step()
    for name, each in model.named_parameters():
        assert torch.equal(found[name], each), name


def scored(scores):
    """An `evaluate` that gives each epoch the score that a test wants."""
    return lambda trainer, *_, **__: {"ndcg@5": scores.get(trainer.state.epoch, -1.0)}


def test_a_later_phase_starts_from_the_best_epoch_and_counts_on(run, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(GenRecTrainer, "evaluate", scored({0: 0.1, 1: 0.5, 2: 0.4, 3: 0.3}))
    impatient = Phase("alternating", 9, 1, ALTERNATING.learning_rates)
    trainer = trainer_of(run, impatient, LAST)
    trainer.fit(run.train, run.valid)
    assert list(trainer.train_loss_dict) == [0, 1, 2, 3, 9, 10]
    weights = {epoch: trainer.callbacks[0].of(epoch)[0][2] for epoch in (2, 9)}
    assert_same(weights[9], weights[2])  # epoch 2 began with what the best epoch 1 had left
    result = trainer.outcome()
    assert result.best_epoch == 1
    assert result.phases == {**dict.fromkeys(range(4), "alternating"), 9: "one", 10: "one"}
    assert load_checkpoint(trainer.saved_model_file)["epoch"] == 1
    phases = [message for message in caplog.messages if message.startswith("Phase ")]
    assert phases == [
        "Phase 1 of 2, alternating: epochs 0 to 8, learning rates first 0.1 (linear, warm-up 25%); "
        "then second 0.02 (cosine, warm-up 0%) in turn",
        "Phase 2 of 2, one: epochs 9 to 10, learning rates second 0.05",
    ]


def test_the_best_epoch_of_all_phases_is_kept(run, monkeypatch):
    monkeypatch.setattr(GenRecTrainer, "evaluate", scored({0: 0.1, 1: 0.5, 2: 0.2, 3: 0.9, 4: 0.3}))
    three = Phase("alternating", 2, 99, ALTERNATING.learning_rates)
    trainer = trainer_of(run, three, BOTH, LAST)
    score, _ = trainer.fit(run.train, run.valid)
    assert score == 0.9 and trainer.outcome().best_epoch == 3
    assert load_checkpoint(trainer.saved_model_file)["epoch"] == 3


def test_a_short_phase_is_validated_all_the_same(run):
    run.config["eval_step"] = 4
    trainer = trainer_of(run, ALTERNATING, LAST)
    trainer.fit(run.train, run.valid)
    assert list(trainer.valid_results) == [3, 5]  # of epochs 0 to 4, and of 5 and 6


PLACES = {
    "the first phase, at the start": ("on_epoch_start", 1),
    "within an epoch of the first part": ("on_step_start", 5),
    "the border of two parts": ("on_epoch_start", 2),
    "within an epoch of the second part": ("on_step_start", 17),
    "the last validation of a phase": ("on_valid_start", 5),
    "before a phase begins": ("on_phase_start", 2),
    "the first epoch of a phase": ("on_epoch_start", 6),
    "within a later phase": ("on_step_start", 50),
    "the last border": ("on_phase_start", 3),
    "within the last phase": ("on_step_start", 70),
    "the last validation but one": ("on_valid_start", 8),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The outcome of a training that nobody has stopped."""
    from tests.small import write_toy

    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = {"train_batch_size": 16, "learner": "adamw", "weight_decay": 0.1}
        run = popularity_run(write_toy(folder), **settings)
        trainer = trainer_of(run, ALTERNATING, BOTH, LAST)
        return outcome(trainer, run, trainer.fit(run.train, run.valid))


@pytest.mark.parametrize("place", PLACES)
def test_training_that_is_stopped_ends_with_the_same_bits(place, data_path, expected):
    settings = {"train_batch_size": 16, "learner": "adamw", "weight_decay": 0.1}
    settings["checkpoint_step"] = 4
    first = popularity_run(data_path, **settings)
    trainer = trainer_of(first, ALTERNATING, BOTH, LAST)
    trainer.callbacks = [At(*PLACES[place], fail(Killed))]
    with pytest.raises(Killed):
        trainer.fit(first.train, first.valid)
    second = popularity_run(data_path, **settings)
    again = trainer_of(second, ALTERNATING, BOTH, LAST)
    torch.rand(3)  # noise of a new process
    again.resume("auto")
    found = outcome(again, second, again.fit(second.train, second.valid))
    for state in (found, expected):
        for name in ("best", "last"):  # which name the folder of the data
            state[name].pop("data_files", None)
    assert len(found["losses"]) == 9
    assert_same(found, expected)


def test_a_checkpoint_of_a_phase_that_there_is_no_more_is_refused(run):
    trainer = trainer_of(run, ALTERNATING, LAST)
    trainer.fit(run.train, run.valid)
    again = trainer_of(run, ALTERNATING)
    with pytest.raises(InputError, match=r"run-last.pth\] should be of one of the 1 phases, .*2"):
        again.resume(trainer.last_model_file)


def test_a_later_phase_needs_no_saved_epoch_but_says_so(run, caplog):
    trainer = trainer_of(run, BOTH, LAST)
    trainer.fit(run.train, run.valid, saved=False)
    assert "No epoch was saved: one starts from the last one" in caplog.messages
    assert list(trainer.train_loss_dict) == [0, 1, 2, 3]


def test_clipping_does_not_see_what_an_earlier_phase_has_trained(run):
    """The last gradients of a part that is frozen now would count in the norm of all."""

    class Gradients(TrainerCallback):
        def on_step_end(self, trainer):
            named = trainer.model.named_parameters()
            seen.add(
                (trainer.phase_run.phase.name, *(n for n, each in named if each.grad is not None))
            )

    seen = set()
    run.config["clip_grad_norm"] = {"max_norm": 0.01}
    trainer = trainer_of(run, BOTH, LAST._replace(from_best=False))
    trainer.callbacks = [Gradients()]
    trainer.fit(run.train)
    assert seen == {("both", "weight", "other"), ("one", "other")}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"first": ["weight"], "second": ["other"]}, r"each in one part, found \[unused, in 0\]"),
        ({"first": ["weight", "unused"], "second": ["other", "weight"]}, r"\[weight, in 2\]"),
        ({"first": ["weight", "other", "unused"]}, r"phase both should be one of .*\[second\]"),
    ],
)
def test_parts_that_cannot_be_right_are_named(run, parts, message):
    class Wrong(planned(BOTH)):
        def parts(self):
            named = dict(self.named_parameters())
            return {part: [named[name] for name in names] for part, names in parts.items()}

    with pytest.raises(InputError, match=message):
        popularity_trainer(run, Wrong)


def test_a_plain_model_has_one_phase_with_its_settings(data_path):
    run = popularity_run(data_path, learning_rate=0.5, epochs=2, lr_scheduler="linear")
    trainer = popularity_trainer(run)
    trainer.callbacks = [Epochs()]
    trainer.fit(run.train, run.valid)
    (phase,) = trainer.phases
    assert phase == Phase("training", 2, 10, [{"recommender": LearningRate(0.5, "linear")}])
    assert trainer.outcome().phases == {0: "training", 1: "training"}
    assert trainer.callbacks[0].seen == [0, 1]
