"""`history_unit: item`: an item of the history is one position, the sum of its code embeddings."""

import pytest
import torch

from recbole_genrec.model.generative_recommender import GenerativeRecommender, shift_right
from tests.model.test_discrec import discrec
from tests.model.test_tiger import histories, tiger


@torch.no_grad()
def test_recommendation_equals_scoring_every_item_through_transformers():
    model, interaction = tiger(history_unit="item"), histories()
    hf_model, labels = model.t5.to_transformers(), model.ids.tokens[1:]
    items, scores = model.recommend(interaction, k=60)
    for user, length in enumerate(interaction["item_length"].tolist()):
        history = []
        for item in interaction["item_id_list"][user, :length].tolist():
            codes = model.ids.tokens[item].tolist()
            history.append(sum(model.t5.embedding.weight[code] for code in codes))
        logits = hf_model(
            inputs_embeds=torch.stack(history).expand(len(labels), -1, -1),
            decoder_input_ids=shift_right(labels),
        ).logits
        log_probs = logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).sum((1, 2))
        expected = log_probs.sort(descending=True)
        assert torch.equal(items[user], expected.indices + 1)
        torch.testing.assert_close(scores[user], expected.values, atol=1e-4, rtol=0)


@pytest.mark.parametrize("attention", ["bidirectional", "causal"])
@torch.no_grad()
def test_discrec_reads_the_sum_of_the_views_of_an_item(attention):
    model = discrec(history_unit="item", history_attention=attention)
    interaction = histories()
    history, lengths = model.history(interaction)
    items, _ = model.history_items(interaction)
    views = model.history_views(model.t5.embedding(model.ids.tokens[items]))
    torch.testing.assert_close(history, views[:, 0] + views[:, 1] + views[:, 2])
    assert torch.equal(lengths, interaction["item_length"])
    items, scores = model.recommend(interaction, k=60)
    plain = GenerativeRecommender.recommend(model, interaction, k=60)
    assert torch.equal(items, plain[0])
    torch.testing.assert_close(scores, plain[1], atol=1e-4, rtol=0)


def test_what_is_read_counts_once_an_item():
    model, interaction = tiger(history_unit="item"), histories()
    assert model.num_tokens(interaction) == (5 + 1 + 3 + 2) + 4 * 3
