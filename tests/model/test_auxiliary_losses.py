"""The losses beside the softmax over items, each by hand over users, targets and codes."""

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.loss.token_weights import front_greater_weights
from recbole_genrec.model.semantic_sasrec import SemanticSASRec
from tests.model.test_semantic_sasrec import N_ITEMS, catalogue_of, histories, model_of, with_texts
from tests.small import toy_config, write_toy


def dataset():
    """Items with texts and a teacher, each of which is a target."""
    found = with_texts(catalogue_of())
    vectors = F.pad(torch.randn(N_ITEMS - 1, 3), (0, 0, 1, 0))
    found.items.embeddings["collaborative"] = ItemEmbeddings(vectors, ItemEncoder())
    found.target_counts = torch.arange(N_ITEMS)
    return found


def terms(**settings):
    """The model, its batch, the states, the targets, and the one term beside the main loss."""
    torch.manual_seed(0)
    model, interaction = model_of(dataset(), **settings).train(), histories()
    main, term = model.calculate_loss(interaction)
    states, targets = model.states(interaction), model.next_items(interaction)
    model.auxiliary = None
    torch.testing.assert_close(main, model.calculate_loss(interaction))
    return model, interaction, states, targets, term


def slow_info_nce(queries, keys, temperature):
    losses = []
    for n, query in enumerate(queries):
        cosines = torch.stack([F.cosine_similarity(query, key, dim=0) for key in keys])
        losses.append(-(cosines / temperature).log_softmax(0)[n])
    return torch.stack(losses).mean()


def test_contrast_of_two_passes():
    """Without dropout both passes are alike; users with the same target count once."""
    model, interaction, states, targets, term = terms(contrast_weight=0.3, contrast_temperature=0.5)
    last = states[interaction["item_length"].cumsum(0) - 1]
    assert len(interaction["item_id"].unique()) == len(last)
    torch.testing.assert_close(term, 0.3 * slow_info_nce(last, last, 0.5))


def test_the_second_pass_has_other_dropout():
    settings = {"contrast_weight": 1.0, "hidden_dropout_prob": 0.5}
    model = model_of(dataset(), **settings).train()
    passes = []
    model.auxiliary.forward = lambda states, targets, last, again, *_: (
        passes.append((states, again())) or [states.sum()]
    )
    model.calculate_loss(histories())
    first, second = passes[0]
    assert first.shape == second.shape and not torch.equal(first, second)


@pytest.mark.parametrize("loss", ["cross_entropy", "front_greater"])
def test_loss_over_codes(loss):
    model, interaction, states, targets, term = terms(code_loss_weight=0.2, loss=loss)
    vectors, first, levels = model.item_vectors.codes.weight, 1, []
    for level, size in enumerate(model.ids.sizes):
        log_probs = (states @ vectors[first : first + size].T).log_softmax(1)
        codes = model.ids.codes[targets, level].tolist()
        levels.append(-torch.stack([log_probs[n, code] for n, code in enumerate(codes)]).mean())
        first += size
    weights = torch.ones(3)
    if loss == "front_greater":
        texts = model.items.embeddings["text"].vectors
        weights = front_greater_weights(model.ids.tokens[1:], texts[1:]).float()
        assert weights.std() > 0.1
    torch.testing.assert_close(term, 0.2 * (torch.stack(levels) * weights).mean())


def test_contrast_with_a_teacher():
    settings = {"recommender_distillation_weight": 0.4, "distillation_temperature": 0.2}
    torch.manual_seed(0)
    model, interaction = model_of(dataset(), **settings).train(), histories()
    _, term = model.calculate_loss(interaction)
    targets = model.next_items(interaction)
    first = [row for row, item in enumerate(targets) if item not in targets[:row]]
    assert len(first) < len(targets)  # an item counts once
    states = model.auxiliary.distillation.decoder_projection(model.states(interaction)[first])
    teacher = model.items.embeddings["collaborative"].vectors[targets[first]]
    both = slow_info_nce(states, teacher, 0.2) + slow_info_nce(teacher, states, 0.2)
    torch.testing.assert_close(term, 0.4 * both)


def test_weights_of_the_curriculum_move_with_the_steps():
    model = model_of(dataset(), code_loss_weight=0.2, loss="token_weighted", curriculum_rate=0.1)
    before = model.auxiliary.weighted.alphas()
    model.on_step_end()
    assert model.auxiliary.weighted.alphas()[1] > before[1] == 0


def test_a_restored_model_has_none():
    trained = model_of(dataset(), recommender_distillation_weight=0.4)
    restored = model_of(recommender_distillation_weight=0.4)
    assert trained.auxiliary is not None and restored.auxiliary is None
    restored.load_state_dict(trained.state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"item_vectors": ["own"]}, "code_loss_weight should be 0, as item_vectors hold no codes"),
        ({"loss": "rank"}, r"loss should be one that only weighs tokens, .* found \[rank\]"),
        ({"loss": "CFT"}, r"loss should be one that only weighs tokens, .* found \[CFT\]"),
        ({"loss": "multi_target", "scaled_logits": True}, "without scaled_logits, .*multi_target"),
    ],
)
def test_what_a_loss_over_codes_cannot_take(settings, message, tmp_path):
    config = toy_config("SemanticSASRec", write_toy(tmp_path), code_loss_weight=0.1, **settings)
    with pytest.raises(InputError, match=message):
        SemanticSASRec.check_config(config)


def test_names_of_losses_stand_in_any_case(tmp_path):
    settings = {"code_loss_weight": 0.1, "loss": "Token_Weighted"}
    config = toy_config("SemanticSASRec", write_toy(tmp_path), **settings)
    SemanticSASRec.check_config(config)
    model = model_of(dataset(), **settings, curriculum_rate=0.1)
    assert len(model.train().calculate_loss(histories())) == 2


def test_a_loss_without_a_weight_is_told(tmp_path, caplog):
    config = toy_config("SemanticSASRec", write_toy(tmp_path), loss="token_weighted")
    SemanticSASRec.check_config(config)
    assert "loss [token_weighted] is not used, as code_loss_weight is 0" in caplog.text
