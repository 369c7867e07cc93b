"""`existing_codes_only`: items share all of the probability, in training as in the search."""

import pytest
import torch

from recbole_genrec.config import Config
from recbole_genrec.errors import InputError
from recbole_genrec.model.generative_recommender import GenerativeRecommender, shift_right
from recbole_genrec.model.hooks import class_hooks
from tests.model.test_discrec import discrec
from tests.model.test_tiger import histories, logits_of_every_item, tiger

SETTINGS = {"existing_codes_only": True, "dropout_rate": 0.0}


@torch.no_grad()
def log_likelihoods(model, interaction) -> torch.Tensor:
    """Of every item after every history `[batch, n_items - 1]`, token by token."""
    rows = [tuple(row) for row in model.ids.tokens[1:].tolist()]
    scores = torch.zeros(len(interaction), len(rows))
    for user, logits in enumerate(logits_of_every_item(model, interaction)):
        for number, row in enumerate(rows):
            for level, token in enumerate(row):
                known = sorted({item[level] for item in rows if item[:level] == row[:level]})
                own = logits[number, level, known].log_softmax(0)
                scores[user, number] += own[known.index(token)]
    return scores


@torch.no_grad()
def test_the_scores_of_all_items_are_their_probabilities():
    model, interaction = tiger(**SETTINGS), histories()
    expected = log_likelihoods(model, interaction).sort(descending=True)
    items, scores = model.recommend(interaction, k=60)
    assert torch.equal(items, expected.indices + 1)
    torch.testing.assert_close(scores, expected.values, atol=1e-4, rtol=0)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(4))
    own = scores[items == interaction["item_id"].unsqueeze(1)]
    torch.testing.assert_close(model.predict(interaction), own, atol=1e-5, rtol=0)


@pytest.mark.parametrize("build", [tiger, discrec])
@torch.no_grad()
def test_the_fast_search_is_the_plain_one_and_sums_to_one(build):
    model, interaction = build(**SETTINGS), histories()
    items, scores = model.recommend(interaction, k=60)
    plain_items, plain = GenerativeRecommender.recommend(model, interaction, k=60)
    assert torch.equal(items, plain_items)
    torch.testing.assert_close(scores, plain, atol=1e-4, rtol=0)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(4))


@torch.no_grad()
def test_allowed_items_keep_the_probability_that_they_have_among_all():
    model, interaction = tiger(**SETTINGS), histories()
    every = model.full_sort_predict(interaction)
    allowed = torch.arange(1, 61, 3)
    items, scores = model.recommend(interaction, k=20, allowed=allowed)
    assert items.sort().values.tolist() == [allowed.tolist()] * 4
    torch.testing.assert_close(scores, every.gather(1, items), atol=1e-5, rtol=0)


@torch.no_grad()
def test_new_items_get_their_share():
    model, interaction = tiger(**SETTINGS, beam_size=64), histories()
    taken = {tuple(row) for row in model.ids.codes[1:].tolist()}
    free = [(0, a, b) for a in range(5) for b in range(5) if (0, a, b) not in taken][:4]
    model.ids.append(torch.tensor(free))
    items, scores = model.recommend(interaction, k=60 + len(free))
    expected = log_likelihoods(model, interaction)
    torch.testing.assert_close(scores, expected.gather(1, items - 1), atol=1e-4, rtol=0)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(4))


@pytest.mark.parametrize("history_attention", ["bidirectional", "causal"])
def test_the_training_loss_is_that_of_these_probabilities(history_attention):
    model = tiger(**SETTINGS, history_attention=history_attention)
    interaction = histories()
    view = model.targets(interaction)
    loss = model.calculate_loss(interaction)
    loss.backward()
    assert model.t5.embedding.weight.grad.isfinite().all()
    with torch.no_grad():
        labels = model.labels(view.items)
        logits = model.decode(model.encode(interaction), shift_right(labels), view)
    rows = [tuple(row) for row in model.ids.tokens[1:].tolist()]
    expected = 0.0
    for number, row in enumerate(labels.tolist()):
        for level, token in enumerate(row):
            known = sorted({item[level] for item in rows if item[:level] == tuple(row[:level])})
            own = logits[number, level, known].log_softmax(0)
            expected -= float(own[known.index(token)]) / labels.numel()
    assert loss.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "settings", [{"loss": "cft"}, {"loss": "token_weighted", "scaled_logits": True}]
)
def test_a_loss_that_calculates_with_all_logits_refuses(settings):
    settings = {**settings, "existing_codes_only": True}
    config = Config("TIGER", "ml-100k", config_dict=settings)
    with pytest.raises(InputError, match=r"existing_codes_only should be False with loss \["):
        class_hooks(config.model_class).check_config(config)


@pytest.mark.parametrize("model", ["UniGRec", "ETEGRec", "LETTER", "TIGER-TokenWeighted"])
def test_models_on_the_t5_take_it(model):
    config = Config(model, "ml-100k", config_dict={"existing_codes_only": True})
    class_hooks(config.model_class).check_config(config)
