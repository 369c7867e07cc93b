"""TIGER against exhaustive scoring of a small catalogue, and what RecBole expects of a model."""

from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.errors import InputError
from recbole_genrec.items.items import Items
from recbole_genrec.model.generative_recommender import shift_right
from recbole_genrec.model.tiger import TIGER
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs
from tests.loss.conftest import DEFAULTS
from tests.small import toy_config, write_toy

N_ITEMS = 61  # the padding item and 60 real ones
CONFIG = {
    "id_embeddings": "text",
    **DEFAULTS,  # of all losses
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "item_length",
    "NEG_PREFIX": "neg_",
    "MAX_ITEM_LIST_LENGTH": 5,
    "device": "cpu",
    "d_model": 16,
    "d_ff": 32,
    "num_heads": 2,
    "d_kv": 8,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "dropout_rate": 0.1,
    "beam_size": 60,
    "valid_beam_size": None,
    "loss": "cross_entropy",
    "existing_codes_only": False,
    "history_unit": "token",
    "history_attention": "bidirectional",
}


def catalogue(codes: torch.Tensor, sizes: list[int]) -> SimpleNamespace:
    """What TIGER reads of a data set."""
    n_items = len(codes) + 1
    items = Items(["[PAD]", *(f"i{n}" for n in range(1, n_items))])
    items.ids[""] = SemanticIDs(torch.nn.functional.pad(codes, (0, 0, 1, 0)), sizes)
    return SimpleNamespace(
        num=lambda field: n_items,
        items=items,
        target_counts=torch.zeros(n_items, dtype=torch.long),
    )


def tiger(**settings) -> TIGER:
    """An untrained model over 60 items with 3 levels of 5 codes."""
    chosen = torch.randperm(5**3)[: N_ITEMS - 1]
    codes = torch.stack([chosen // 25, chosen // 5 % 5, chosen % 5], dim=1)
    model = TIGER({**CONFIG, **settings}, catalogue(codes, [5, 5, 5])).eval()
    torch.nn.init.normal_(model.t5.embedding.weight, std=3.0)  # scores that differ clearly
    return model


def histories(batch: int = 4) -> Interaction:
    lengths = torch.tensor([5, 1, 3, 2])[:batch]
    items = torch.randint(1, N_ITEMS, (batch, 5))
    items[torch.arange(5) >= lengths.unsqueeze(1)] = 0
    targets = torch.randint(1, N_ITEMS, (batch,))
    return Interaction({"item_id_list": items, "item_length": lengths, "item_id": targets})


def logits_of_every_item(model: TIGER, interaction: Interaction) -> Iterator[torch.Tensor]:
    """Of each user `[n_items - 1, L, vocab_size]`, through `transformers`' T5."""
    hf_model, labels = model.t5.to_transformers(), model.ids.tokens[1:]
    items, lengths = interaction["item_id_list"], interaction["item_length"]
    for own, length in zip(items, lengths, strict=True):
        history = model.ids.tokens[own[:length]].view(1, -1).expand(len(labels), -1)
        yield hf_model(input_ids=history, decoder_input_ids=shift_right(labels)).logits


def score_of_every_item(model: TIGER, interaction: Interaction) -> torch.Tensor:
    """Log-likelihoods `[batch, n_items - 1]`, one item at a time."""
    labels = model.ids.tokens[1:].unsqueeze(-1)
    logits = logits_of_every_item(model, interaction)
    return torch.stack([own.log_softmax(-1).gather(-1, labels).sum((1, 2)) for own in logits])


@torch.no_grad()
def test_recommendation_equals_scoring_every_item():
    model, interaction = tiger(), histories()
    expected = score_of_every_item(model, interaction).sort(descending=True)
    items, scores = model.recommend(interaction, k=60)
    assert torch.equal(items, expected.indices + 1)
    torch.testing.assert_close(scores, expected.values, atol=1e-4, rtol=0)


@torch.no_grad()
def test_predict_is_the_exact_log_likelihood():
    model, interaction = tiger(), histories()
    every = score_of_every_item(model, interaction)
    expected = every.gather(1, interaction["item_id"].unsqueeze(1) - 1).squeeze(1)
    torch.testing.assert_close(model.predict(interaction), expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_items_outside_the_beam_score_minus_infinity():
    model, interaction = tiger(beam_size=10), histories()
    scores = model.full_sort_predict(interaction)
    items, log_probs = model.recommend(interaction, k=10)
    assert scores.shape == (4, N_ITEMS)
    assert torch.equal(scores.isfinite().sum(1), torch.full((4,), 10))
    assert torch.equal(scores.gather(1, items), log_probs)


def test_loss_is_the_cross_entropy_of_transformers():
    model, interaction = tiger(dropout_rate=0.0), histories(1)
    labels = model.ids.tokens[interaction["item_id"]]
    history = model.ids.tokens[interaction["item_id_list"]].view(1, -1)
    expected = model.t5.to_transformers()(input_ids=history, labels=labels).loss
    loss = model.calculate_loss(interaction)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.t5.parameters())


@pytest.mark.parametrize("history_unit", ["token", "item"])
def test_one_causal_pass_serves_every_prefix(history_unit):
    settings = {"history_attention": "causal", "history_unit": history_unit}
    model, interaction = tiger(dropout_rate=0.0, **settings), histories()
    items, lengths = interaction["item_id_list"], interaction["item_length"]
    after = torch.cat([items, torch.zeros(4, 1, dtype=torch.long)], dim=1)
    after[torch.arange(4), lengths] = interaction["item_id"]
    expected, targets = [], []
    for user in range(4):
        for visible in range(1, lengths[user] + 1):
            prefix = {
                "item_id_list": after[user, None, :visible],
                "item_length": torch.tensor([visible]),
            }
            prefix = Interaction({**prefix, "item_id": after[user, visible, None]})
            expected.append(-model.predict(prefix))
            targets.append(int(after[user, visible]))
    assert model.targets(interaction).items.tolist() == targets
    mean = torch.cat(expected).mean() / 3  # per token, of which an item has three
    torch.testing.assert_close(model.calculate_loss(interaction), mean, atol=1e-5, rtol=0)


@torch.no_grad()
def test_other_semantic_ids_change_labels_and_trie():
    model, interaction = tiger(), histories()
    before = model.recommend(interaction, k=60)
    codes = model.ids.codes
    turned = torch.cat([codes[:1], codes[1:].roll(1, dims=0)])
    model.ids.replace(SemanticIDs(turned, [5, 5, 5]))
    assert not torch.equal(model.recommend(interaction, k=60)[0], before[0])
    expected = score_of_every_item(model, interaction).sort(descending=True)
    assert torch.equal(model.recommend(interaction, k=60)[0], expected.indices + 1)


@torch.no_grad()
def test_a_loaded_state_brings_its_semantic_ids():
    model, interaction = tiger(), histories()
    codes = torch.arange(N_ITEMS - 1)
    dataset = catalogue(torch.stack([codes // 25, codes // 5 % 5, codes % 5], dim=1), [5, 5, 5])
    other = TIGER(CONFIG, dataset).eval()
    own_ids = dataset.items.ids[""]
    other.recommend(interaction, k=5)  # builds the trie of its own
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.ids.tokens, model.ids.tokens)
    assert dataset.items.ids[""] is own_ids  # of further models
    items, scores = model.recommend(interaction, k=60)
    assert torch.equal(other.recommend(interaction, k=60)[0], items)
    assert torch.equal(other.recommend(interaction, k=60)[1], scores)


@torch.no_grad()
def test_added_items_can_be_recommended():
    model, interaction = tiger(), histories()
    taken = set(map(tuple, model.ids.codes.tolist()))
    codes = next(c for c in product(range(5), repeat=3) if c not in taken)
    model.ids.append(torch.tensor([codes]))
    items, _ = model.recommend(interaction, k=61)
    assert torch.equal(items.sort().values, torch.arange(1, 62).expand(4, -1))


@torch.no_grad()
def test_more_items_than_there_are():
    items, scores = tiger().recommend(histories(), k=70)
    assert (items[:, 60:] == 0).all() and (scores[:, 60:] == -torch.inf).all()
    assert (items[:, :60] > 0).all()


def test_a_data_set_without_semantic_ids_is_refused(tmp_path):
    config = toy_config("TIGER", write_toy(tmp_path))
    with pytest.raises(InputError, match="TIGER needs a data set with semantic IDs: load it with"):
        TIGER(config, create_dataset(config))
