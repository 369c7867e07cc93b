"""UniGRec against slow computations of its equations, and against TIGER in the hard limit."""

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec.model.generative_recommender import shift_right
from recbole_genrec.model.joint_recommender import history_means
from recbole_genrec.model.phases import LearningRate
from recbole_genrec.model.tiger import TIGER
from recbole_genrec.model.unigrec import UniGRec
from tests.model.unigrec_cases import (
    CONFIG,
    data_set,
    histories,
    padding_free,
    slow_assignments,
    slow_history,
    tokenized_items,
    unigrec,
)


@pytest.mark.parametrize("training", [True, False])
def test_the_encoder_reads_the_soft_tokens_of_eq_14_and_15(training):
    model, interaction = unigrec().train(training), histories()
    history, lengths = model.history(interaction)
    expected = [slow_history(model, items) for items in padding_free(interaction)]
    assert lengths.tolist() == [len(rows) for rows in expected]
    torch.testing.assert_close(history, torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_soft_items_keep_all_digits_under_autocast():
    model = unigrec(temperature=0.001)  # at which rounded distances give other codes
    expected = model.soft_items(model.item_embeddings)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.soft_items(model.item_embeddings)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


def test_the_losses_equal_a_slow_computation_of_eq_13_and_22():
    model, interaction = unigrec(), histories()
    model.epoch = CONFIG["distillation_warmup_epochs"]
    rec, recon, tokenizer_side, recommender_side = model.train().calculate_loss(interaction)

    targets = interaction["item_id"]
    labels = model.ids.tokens[targets]
    nll, means, first_states = [], [], []
    for row, items in enumerate(padding_free(interaction)):
        history = slow_history(model, items)
        encoded = model.t5.encode(history, torch.tensor([len(history)]))
        states = model.t5.decode_states(encoded, shift_right(labels[row : row + 1]))
        log_probs = model.t5.logits(states).log_softmax(-1)[0]
        nll += [-log_probs[level, token] for level, token in enumerate(labels[row])]
        means.append(encoded.tokens().mean(0))
        first_states.append(states[0, 0])
    torch.testing.assert_close(rec, torch.stack(nll).mean())

    distinct = sorted({*targets.tolist(), *sum(padding_free(interaction), [])})
    errors = []
    for item in distinct:
        embedding = model.item_embeddings[item]
        quantized = sum(
            torch.stack(probabilities).float() @ codebook
            for probabilities, codebook in zip(
                slow_assignments(model, embedding), model.tokenizer.codebooks, strict=True
            )
        )
        errors.append((model.tokenizer.decoder(quantized) - embedding).square().mean())
    torch.testing.assert_close(recon, 0.5 * torch.stack(errors).mean())

    distillation = model.distillation
    rows = [0, 1, 3]  # the third target is the first one again
    teacher = distillation.teacher_embeddings[targets]
    divergences = []
    for row in rows:
        side = distillation.tokenizer_side
        p = slow_assignments(model, side.encoder_projection(means[row]), 0.05)
        q = slow_assignments(model, side.teacher_projection(teacher[row]), 0.05)
        pairs = [pair for a, b in zip(p, q, strict=True) for pair in zip(a, b, strict=True)]
        forwards = sum(a * (a / b).log() for a, b in pairs)
        backwards = sum(b * (b / a).log() for a, b in pairs)
        divergences.append((forwards + backwards) / len(p))
    expected = (0.01 * torch.stack(divergences).mean()).float()
    torch.testing.assert_close(tokenizer_side, expected, rtol=1e-3, atol=1e-6)

    decoder = [distillation.recommender_side.decoder_projection(first_states[r]) for r in rows]
    cosine = torch.stack(
        [torch.stack([F.cosine_similarity(d, teacher[r], dim=0) for r in rows]) for d in decoder]
    )
    contrast = F.cross_entropy(cosine / 0.07, torch.arange(3)) + F.cross_entropy(
        cosine.T / 0.07, torch.arange(3)
    )
    torch.testing.assert_close(recommender_side, 0.1 * contrast, rtol=1e-4, atol=1e-6)


class TIGERWithoutDedicated(TIGER):
    """TIGER whose history leaves out the dedicated token, as UniGRec's does."""

    @property
    def tokens_per_item(self):
        return 1 if self.reads_whole_items else super().tokens_per_item - 1

    def history(self, interaction):
        items, lengths = self.history_items(interaction)
        read = self.units(self.t5.embedding(self.ids.tokens[items, :-1]))
        return read.flatten(0, 1), lengths * self.tokens_per_item


@pytest.mark.parametrize("unit", ["token", "item"])
@pytest.mark.parametrize("attention", ["bidirectional", "causal"])
@pytest.mark.parametrize("loss", ["cross_entropy", "token_weighted", "cft"])
def test_with_one_hot_assignments_it_is_tiger_on_the_same_identifiers(loss, attention, unit):
    items = tokenized_items(temperature=1e-9)
    settings = {**CONFIG, "loss": loss, "history_attention": attention, "history_unit": unit}
    torch.manual_seed(3)
    tiger = TIGERWithoutDedicated(settings, data_set(items)).eval()
    model = unigrec_of(items, settings)
    model.tokenizer.requires_grad_(False)
    model.t5.load_state_dict(tiger.t5.state_dict())
    interaction = histories()

    items, scores = model.recommend(interaction, 40)
    tiger_items, tiger_scores = tiger.recommend(interaction, 40)
    assert torch.equal(items, tiger_items)
    torch.testing.assert_close(scores, tiger_scores)
    torch.testing.assert_close(model.predict(interaction), tiger.predict(interaction))
    (loss,) = model.train().calculate_loss(interaction)  # dropout is 0
    torch.testing.assert_close(loss, tiger.train().calculate_loss(interaction))


def unigrec_of(items, settings):
    return UniGRec(settings, data_set(items, teacher_dim=None)).eval()


def test_the_recommendation_loss_reaches_encoder_and_codebooks():
    model = unigrec().train()
    recommendation_loss = model.calculate_loss(histories())[0]
    recommendation_loss.backward()
    for name, parameter in model.tokenizer.named_parameters():
        if name.startswith("decoder."):  # reconstruction alone trains it
            assert parameter.grad is None
        else:
            assert parameter.grad.abs().sum() > 0, name


def test_the_distillation_waits_for_its_epoch_and_ends_with_joint_training():
    model, interaction = unigrec(distillation_warmup_epochs=3).train(), histories()
    for epoch, terms in ((0, 2), (2, 2), (3, 4), (8, 4), (9, 2), (11, 2)):  # fine-tuning from 9 on
        model.on_epoch_start(epoch)
        assert len(model.calculate_loss(interaction)) == terms


@pytest.mark.parametrize(("weights", "terms"), [((0.01, 0), 3), ((0, 0.1), 3), ((0.01, 0.1), 4)])
def test_a_distillation_of_weight_0_is_left_out(weights, terms):
    model = unigrec(
        tokenizer_distillation_weight=weights[0], recommender_distillation_weight=weights[1]
    ).train()
    model.on_epoch_start(1)
    assert len(model.calculate_loss(histories())) == terms


def test_the_tokenizer_side_vanishes_where_history_and_teacher_say_the_same():
    model, interaction = unigrec().train(), histories()
    model.on_epoch_start(1)
    side = model.distillation.tokenizer_side
    for projection in (side.encoder_projection, side.teacher_projection):
        torch.nn.init.zeros_(projection.weight)  # both see their bias alone
    side.teacher_projection.bias.data = side.encoder_projection.bias.data.clone()
    assert model.calculate_loss(interaction)[2].item() == 0
    side.teacher_projection.bias.data += 1
    assert model.calculate_loss(interaction)[2].item() > 0


def test_the_recommender_side_vanishes_where_there_is_one_target_to_find():
    model, interaction = unigrec().train(), histories()
    model.on_epoch_start(1)
    assert model.calculate_loss(interaction)[3].item() > 0
    interaction["item_id"][:] = 7
    assert model.calculate_loss(interaction)[3].item() == 0


def test_a_frozen_tokenizer_gets_no_gradient_and_keeps_its_identifiers():
    model = unigrec().train()
    model.tokenizer.requires_grad_(False)
    losses = model.calculate_loss(histories())
    sum(losses).backward()
    assert len(losses) == 1  # nothing to reconstruct
    assert all(parameter.grad is None for parameter in model.tokenizer.parameters())
    model.on_epoch_end(0)
    assert model.identifier_history == []


def test_every_parameter_is_in_one_part():
    model = unigrec(loss="token_weighted")
    parts = model.parts()
    found = [id(parameter) for parameters in parts.values() for parameter in parameters]
    assert sorted(found) == sorted(id(parameter) for parameter in model.parameters())
    assert id(model.loss.log_lambda) in {id(parameter) for parameter in parts["recommender"]}


def test_joint_training_has_a_rate_for_each_part_and_fine_tuning_none_for_the_tokenizer():
    fine_tuning = {"epochs": 3, "learning_rate": 0.5, "stopping_step": 4}
    config = {**CONFIG, **{f"finetune_{key}": value for key, value in fine_tuning.items()}}
    config |= {"epochs": 7, "stopping_step": 2, "lr_scheduler": None, "warmup_ratio": None}
    joint, fine = unigrec().phases(config)
    (rates,) = joint.learning_rates
    assert {part: rate.peak for part, rate in rates.items()} == {
        "recommender": 0.01,
        "tokenizer": 0.001,
        "distillation": 0.02,
    }
    assert (joint.epochs, joint.stopping_step, joint.from_best) == (7, 2, False)
    assert fine[1:3] == (3, 4) and fine.from_best
    (rates,) = fine.learning_rates
    assert rates == {"recommender": LearningRate(0.5)}
    frozen = {**config, "joint_tokenizer_learning_rate": 0, "finetune_epochs": 0}
    (joint,) = unigrec().phases(frozen)
    assert set(joint.learning_rates[0]) == {"recommender", "distillation"}


def test_means_of_what_each_target_sees():
    states = torch.tensor([[1.0, 2], [3, 4], [5, 6], [10, 10]])
    lengths = torch.tensor([3, 1])
    assert history_means(states, lengths).tolist() == [[3, 4], [10, 10]]
    sequence, visible = torch.tensor([0, 1, 0]), torch.tensor([2, 1, 1])
    assert history_means(states, lengths, sequence, visible).tolist() == [[2, 3], [10, 10], [1, 2]]


def test_means_of_the_last_history_keep_their_digits_behind_large_states():
    states = torch.cat([torch.full((4096, 1), 1000.0), torch.tensor([[0.1], [0.2]])])
    means = history_means(states, torch.tensor([4096, 2]))
    torch.testing.assert_close(means, torch.tensor([[1000.0], [0.15]]))
