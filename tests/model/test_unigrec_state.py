"""What UniGRec holds beside its weights: identifiers that follow, tables, checkpoints, items."""

import pytest
import torch

from recbole_genrec.errors import InputError
from recbole_genrec.items.items import Items
from recbole_genrec.model.unigrec import UniGRec
from recbole_genrec.runs.checkpoint import load_weights
from tests.model.unigrec_cases import (
    CONFIG,
    N_ITEMS,
    SIZES,
    data_set,
    histories,
    padding_free,
    slow_history,
    tokenized_items,
    unigrec,
)


def unigrec_of(items, settings):
    return UniGRec(settings, data_set(items, teacher_dim=None)).eval()


def test_hard_identifiers_labels_trie_and_loss_follow_the_tokenizer():
    model = unigrec(loss="token_weighted")
    interaction = histories()
    before = model.ids.tokens.clone()
    assert torch.equal(model.recommend(interaction, 40)[0].sort(1).values[0], torch.arange(1, 41))
    weights = model.loss.frequency_weights.clone()
    with torch.no_grad():
        model.tokenizer.codebooks[0].copy_(model.tokenizer.codebooks[0].flip(0))
    model.on_epoch_end(4)

    assignments = model.tokenizer.assignments(model.item_embeddings[1:])
    for level, probabilities in enumerate(assignments):
        first = 1 + sum(SIZES[:level])
        expected = first + probabilities.argmax(1)
        assert torch.equal(model.ids.tokens[1:, level], expected)
    assert not torch.equal(model.ids.tokens, before)
    assert len(model.ids.tokens.unique(dim=0)) == N_ITEMS
    assert not torch.equal(model.loss.frequency_weights, weights)
    assert model.ids.trie.num_items == N_ITEMS - 1
    items, scores = model.recommend(interaction, 40)
    place = (items == interaction["item_id"].unsqueeze(1)).nonzero()[:, 1]
    found = scores.gather(1, place.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(found, model.predict(interaction), rtol=1e-4, atol=1e-5)

    record = model.identifier_history[-1]
    changed = (model.ids.tokens[1:] != before[1:]).double().mean(0)
    assert record["epoch"] == 4
    assert record["change_rate"] == changed.tolist()
    codes = torch.stack([level.argmax(1) for level in assignments], 1).tolist()
    assert record["collision_rate"] == 1 - len(set(map(tuple, codes))) / (N_ITEMS - 1)


def test_the_item_table_follows_the_weights():
    model, interaction = unigrec(), histories()
    first = model.history(interaction)[0]
    assert model.all_soft_items() is model.all_soft_items()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    sum(model.train().calculate_loss(interaction)).backward()
    optimizer.step()
    second = model.eval().history(interaction)[0]
    assert not torch.equal(first, second)
    expected = torch.cat([slow_history(model, items) for items in padding_free(interaction)])
    torch.testing.assert_close(second, expected, rtol=1e-4, atol=1e-5)


def test_loaded_weights_bring_their_identifiers():
    model, interaction = unigrec(loss="token_weighted"), histories()
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected, counts = model.recommend(interaction, 10), model.loss.frequency_weights.clone()
    with torch.no_grad():
        model.tokenizer.codebooks[0].copy_(model.tokenizer.codebooks[0].flip(0))
    model.on_epoch_end(0)
    model.recommend(interaction, 10)
    model.load_state_dict(saved)
    items, scores = model.recommend(interaction, 10)
    assert torch.equal(items, expected[0])
    assert torch.equal(scores, expected[1])
    assert torch.equal(model.loss.frequency_weights, counts)


def test_a_restored_model_recommends_without_teacher_and_embeddings(tmp_path):
    model, interaction = unigrec(loss="token_weighted"), histories()
    with torch.no_grad():
        model.tokenizer.codebooks[0].copy_(model.tokenizer.codebooks[0].flip(0))
    model.on_epoch_end(0)
    file = tmp_path / "model.pth"
    torch.save([model.state_dict(), model.extra_checkpoint()], file)
    weights, extra = torch.load(file, weights_only=True)
    items = Items.from_state(extra["items"])
    data = data_set(items, teacher_dim=None)
    data.target_counts = torch.zeros_like(data.target_counts)
    restored = UniGRec({**CONFIG, "loss": "token_weighted"}, data).eval()
    restored.load_state_dict(weights)
    for ours, theirs in zip(
        restored.recommend(interaction, 10), model.recommend(interaction, 10), strict=True
    ):
        assert torch.equal(ours, theirs)
    codes = items.encode_items("", model.item_embeddings[1:])
    assert torch.equal(codes, model.ids.codes[1:, :-1])


def test_weights_that_do_not_fit_are_told_in_one_line():
    weights = unigrec(d_ff=24).state_dict()  # two sizes in each of the four layers
    del weights["t5.encoder_norm.weight"]
    model = unigrec(teacher_dim=None)  # which needs no projections of the distillation
    first = r"weight \[t5.encoder.0.*\] should be \[32, 16\], found \[24, 16\] \(and 8 more\)$"
    with pytest.raises(InputError, match=rf"^\[a.pth\] does not fit [^\n]*: {first}"):
        load_weights(model, {"state_dict": weights}, "a.pth")
    weights = {**model.state_dict(), "t5.other": torch.zeros(1)}
    with pytest.raises(InputError, match=r"weight \[t5.other\] has no place in the model$"):
        load_weights(model, {"state_dict": weights}, "a.pth")
    del weights["t5.other"], weights["t5.encoder_norm.weight"]
    with pytest.raises(InputError, match=r"weight \[t5.encoder_norm.weight\] is missing$"):
        load_weights(model, {"state_dict": weights}, "a.pth")


def test_new_items_can_be_recommended_and_stand_in_histories():
    model, interaction = unigrec(), histories()
    embedding = torch.randn(1, model.tokenizer.dim)
    model.add_items(["new"], ["a new one"], {"text": embedding})
    wanted = model.tokenizer.encode(embedding)
    assert torch.equal(model.ids.codes[-1:, :2], wanted[:, :2])
    assert N_ITEMS in model.recommend(interaction, 41)[0]
    interaction["item_id_list"][1, 0] = N_ITEMS
    expected = torch.cat([slow_history(model, items) for items in padding_free(interaction)])
    torch.testing.assert_close(model.history(interaction)[0], expected, rtol=1e-4, atol=1e-5)


def test_two_models_of_one_stage_train_their_own_tokenizers():
    items = tokenized_items()
    tokens, weight = items.ids[""].tokens.clone(), items.tokenizers[""].codebooks[0].clone()
    first, second = (unigrec_of(items, CONFIG) for _ in range(2))
    with torch.no_grad():
        first.tokenizer.codebooks[0].copy_(first.tokenizer.codebooks[0].flip(0))
    first.on_epoch_end(0)
    assert torch.equal(items.tokenizers[""].codebooks[0], weight)
    assert torch.equal(second.tokenizer.codebooks[0], weight)
    assert not torch.equal(first.ids.tokens, tokens)
    assert torch.equal(items.ids[""].tokens, tokens)
    assert torch.equal(second.ids.tokens, tokens)
