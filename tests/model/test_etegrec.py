"""ETEGRec against slow computations of its equations, term by term, and turn by turn."""

import pytest
import torch
from torch.nn import functional as F

from recbole_genrec.config import Config
from recbole_genrec.errors import InputError
from recbole_genrec.model.etegrec import ETEGRec
from recbole_genrec.model.etegrec_alignment import log_code_probabilities
from recbole_genrec.model.generative_recommender import shift_right
from recbole_genrec.model.phases import LearningRate
from recbole_genrec.model.tiger import TIGER
from tests.model.etegrec_cases import CONFIG, data_set, etegrec, tokenized_items
from tests.model.unigrec_cases import histories, padding_free

ROWS = [0, 1, 3]  # of the batch; the third target is the first one again
MU, LAMBDA = (
    CONFIG["sequence_item_alignment_weight"],
    CONFIG["preference_semantic_alignment_weight"],
)


def slow_codes(codebooks, latent, sign=-1):
    """P_l(k | v) of one latent `[code_dim]`, code by code in float64, and its codewords."""
    residual, levels, codewords = latent.double(), [], []
    for codebook in codebooks:
        distances = [((residual - codeword) ** 2).sum() for codeword in codebook.double()]
        scores = [torch.exp(sign * distance) for distance in distances]
        levels.append([score / sum(scores) for score in scores])
        nearest = min(range(len(distances)), key=lambda code: distances[code].item())
        codewords.append(codebook[nearest].double())
        residual = residual - codewords[-1]
    return levels, codewords


def slow_squared_loss(model, items):
    """L_SQ item by item: reconstruction, and quantization averaged over the levels."""
    tokenizer, reconstructions, errors, quantizations = model.tokenizer, [], [], []
    for item in items:
        embedding = model.item_embeddings[item]
        latent = tokenizer.encoder(embedding)
        _, codewords = slow_codes(tokenizer.codebooks, latent)
        residual, levels = latent.double(), []
        for codeword in codewords:
            codebook_loss = (residual.detach() - codeword).square().mean()
            commitment = (residual - codeword.detach()).square().mean()
            levels.append(codebook_loss + 0.25 * commitment)
            residual = residual - codeword
        quantizations.append(sum(levels) / len(levels))
        through = latent + (sum(codewords).float() - latent).detach()
        reconstructions.append(tokenizer.decoder(through))
        errors.append((reconstructions[-1] - embedding).square().mean())
    return torch.stack(reconstructions), torch.stack(errors), torch.stack(quantizations)


def slow_states(model, interaction):
    """Mean encoder state, first decoder state and negative log-likelihoods of each history."""
    labels = model.ids.tokens[interaction["item_id"]]
    means, firsts, nll = [], [], []
    for row, items in enumerate(padding_free(interaction)):
        tokens = model.t5.embedding(model.ids.tokens[items].flatten())
        encoded = model.t5.encode(tokens, torch.tensor([len(tokens)]))
        states = model.t5.decode_states(encoded, shift_right(labels[row : row + 1]))
        log_probs = model.t5.logits(states).log_softmax(-1)[0]
        nll += [-log_probs[level, token] for level, token in enumerate(labels[row])]
        means.append(encoded.tokens().mean(0))
        firsts.append(states[0, 0])
    return means, firsts, torch.stack(nll)


def slow_sequence_item_alignment(model, items, means, sign=-1):
    """The levels of SIA `[n, L]`."""
    divergences = []
    for row, item in zip(ROWS, items, strict=True):
        latent = model.tokenizer.encoder(model.item_embeddings[item])
        user = model.alignment.sequence_adapter(means[row])
        p, _ = slow_codes(model.tokenizer.codebooks, latent, sign)
        q, _ = slow_codes(model.tokenizer.codebooks, user, sign)
        levels = []
        for level_p, level_q in zip(p, q, strict=True):
            pairs = list(zip(level_p, level_q, strict=True))
            levels.append(sum(a * (a / b).log() + b * (b / a).log() for a, b in pairs))
        divergences.append(torch.stack(levels))
    return torch.stack(divergences)


def slow_preference_semantic_alignment(model, reconstructions, firsts):
    users = [model.alignment.preference_adapter(firsts[row]) for row in ROWS]
    rows = [
        torch.stack([F.cosine_similarity(user, item, dim=0) for item in reconstructions])
        for user in users
    ]
    cosine = torch.stack(rows) / 0.07
    own = torch.arange(len(ROWS))
    return F.cross_entropy(cosine, own) + F.cross_entropy(cosine.T, own)


@pytest.mark.parametrize("turn", ["tokenizer", "recommender"])
def test_every_term_and_its_gradients_equal_a_slow_computation(turn):
    model, interaction = etegrec(turn), histories()
    found = model.calculate_loss(interaction)

    items = interaction["item_id"][ROWS].tolist()
    reconstructions, errors, quantizations = slow_squared_loss(model, items)
    means, firsts, nll = slow_states(model, interaction)
    expected = [errors.mean(), quantizations.mean()] if turn == "tokenizer" else [nll.mean()]
    expected.append(MU * slow_sequence_item_alignment(model, items, means).sum(1).mean())
    expected.append(LAMBDA * slow_preference_semantic_alignment(model, reconstructions, firsts))
    assert len(found) == len(expected)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for ours, slow in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, slow.float(), rtol=1e-4, atol=1e-6)
        gradients = [
            torch.autograd.grad(loss, trained, retain_graph=True, allow_unused=True)
            for loss in (ours, slow)
        ]
        for mine, theirs in zip(*gradients, strict=True):
            assert (mine is None) == (theirs is None)
            if mine is not None:
                torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_the_released_form_averages_levels_and_takes_distances_for_logits():
    model, interaction = etegrec(sequence_item_alignment_form="released"), histories()
    loss = model.calculate_loss(interaction)[2]
    means, _, _ = slow_states(model, interaction)
    items = interaction["item_id"][ROWS].tolist()
    expected = MU * slow_sequence_item_alignment(model, items, means, sign=1).mean()
    torch.testing.assert_close(loss, expected.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("released", [True, False])
def test_the_released_form_reaches_the_latent_at_the_first_level_alone(released):
    latents = torch.randn(7, 3, requires_grad=True)
    codebooks = [torch.randn(4, 3, requires_grad=True) for _ in range(2)]
    first, second = log_code_probabilities(latents, codebooks, released)
    weights = torch.randn(7, 4)
    of_first = torch.autograd.grad((first * weights).sum(), [latents, codebooks[0]])
    assert all(gradient.any() for gradient in of_first)
    of_second = torch.autograd.grad(
        (second * weights).sum(), [latents, *codebooks], allow_unused=True
    )
    reached = [gradient is not None and bool(gradient.any()) for gradient in of_second]
    assert reached == [not released, not released, True]


def test_an_alignment_vanishes_where_both_sides_say_the_same():
    model, interaction = etegrec(), histories()
    adapter = model.alignment.sequence_adapter[0]
    torch.nn.init.zeros_(adapter.weight)  # users are their bias: the latent of the one target
    interaction["item_id"][:] = 7
    latent = model.tokenizer.to_latent(model.item_embeddings[7])
    adapter.bias.data = latent.detach()
    _, _, sequence_item, preference_semantic = model.calculate_loss(interaction)
    assert sequence_item.item() == pytest.approx(0, abs=1e-6)
    assert preference_semantic.item() == pytest.approx(0, abs=1e-6)  # one target to find
    adapter.bias.data += 1
    assert model.calculate_loss(interaction)[2].item() > 1e-3


@pytest.mark.parametrize("attention", ["bidirectional", "causal"])
def test_an_item_is_aligned_with_the_first_history_that_it_follows(attention):
    """What the later ones say changes nothing."""
    model, interaction = etegrec(history_attention=attention), histories()
    interaction["item_id_list"][:] = 0
    interaction["item_id_list"][:, 0] = torch.tensor([1, 2, 4, 5])
    interaction["item_length"][:] = 1
    before = model.calculate_loss(interaction)
    interaction["item_id_list"][2, 0] = 9  # its target was that of the first history
    torch.testing.assert_close(model.calculate_loss(interaction), before)
    interaction["item_id_list"][0, 0] = 9
    assert model.calculate_loss(interaction)[2] != before[2]


def test_one_pass_sees_as_much_of_a_history_as_each_prefix_alone():
    model = etegrec("recommender", history_attention="causal")
    history = torch.tensor([[3, 9, 14, 0, 0]])
    prefixes = torch.tensor([[3, 0, 0, 0, 0], [3, 9, 0, 0, 0], [3, 9, 14, 0, 0]])
    whole = {"item_id_list": history, "item_length": [3], "item_id": [20]}
    each = {"item_id_list": prefixes, "item_length": [1, 2, 3], "item_id": [9, 14, 20]}
    losses = []
    for fields, one_pass in ((whole, True), (each, False)):
        model.trains_in_one_pass = one_pass
        interaction = histories().__class__({k: torch.as_tensor(v) for k, v in fields.items()})
        losses.append(model.calculate_loss(interaction))
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("turn", ["tokenizer", "recommender"])
def test_codes_keep_all_digits_under_autocast(turn):
    model, interaction = etegrec(turn), histories()
    expected, whole = model.tokenize(interaction["item_id"]), model.calculate_loss(interaction)
    with torch.autocast("cpu", torch.bfloat16):
        found, losses = model.tokenize(interaction["item_id"]), model.calculate_loss(interaction)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(losses, whole, rtol=0.1, atol=1e-3)


def test_only_the_part_whose_turn_it_is_has_gradients():
    for turn, others in (
        ("tokenizer", {"recommender", "alignment"}),
        ("recommender", {"tokenizer"}),
    ):
        model = etegrec(turn)
        sum(model.calculate_loss(histories())).backward()
        for part, parameters in model.parts().items():
            reached = [parameter.grad is not None for parameter in parameters]
            assert any(reached) != (part in others), (turn, part)


def test_the_frozen_recommender_reads_without_dropout_and_goes_on_with_it():
    interaction = histories()
    model = etegrec("tokenizer", dropout_rate=0.5)
    first, second = (model.calculate_loss(interaction) for _ in range(2))
    torch.testing.assert_close(first, second)
    assert model.t5.training
    model = etegrec("recommender", dropout_rate=0.5)
    first, second = (model.calculate_loss(interaction)[0] for _ in range(2))
    assert first != second


@pytest.mark.parametrize(("epoch", "aligned"), [(0, 0), (1, 0), (2, 2), (8, 2), (9, 0), (12, 0)])
def test_alignments_wait_and_end_with_the_cycles(epoch, aligned):
    assert len(etegrec("tokenizer", epoch).calculate_loss(histories())) == 2 + aligned
    assert len(etegrec("recommender", epoch).calculate_loss(histories())) == 1 + aligned


@pytest.mark.parametrize(("key", "place"), [("sequence_item", 2), ("preference_semantic", 3)])
def test_an_alignment_of_weight_0_is_left_out(key, place):
    interaction = histories()
    torch.manual_seed(5)
    whole = etegrec().calculate_loss(interaction)
    torch.manual_seed(5)
    without = etegrec(**{f"{key}_alignment_weight": 0}).calculate_loss(interaction)
    expected = [loss for number, loss in enumerate(whole) if number != place]
    torch.testing.assert_close(list(without), expected)


def test_adapters_may_have_hidden_layers():
    model = etegrec(alignment_hidden_sizes=[5])
    widths = [
        [layer.weight.shape[0] for layer in adapter if isinstance(layer, torch.nn.Linear)]
        for adapter in (model.alignment.sequence_adapter, model.alignment.preference_adapter)
    ]
    assert widths == [[5, 3], [5, 6]]  # the latent, and the embeddings of items


def test_its_recommender_is_tiger_on_the_same_identifiers():
    items, interaction = tokenized_items(), histories()
    tiger = TIGER(CONFIG, data_set(items)).eval()
    model = ETEGRec(CONFIG, data_set(items)).eval()
    model.t5.load_state_dict(tiger.t5.state_dict())
    found = model.recommend(interaction, 40)
    torch.testing.assert_close(found, tiger.recommend(interaction, 40))
    model.tokenizer.requires_grad_(False)
    (loss,) = model.train().calculate_loss(interaction)  # alignments wait
    torch.testing.assert_close(loss, tiger.train().calculate_loss(interaction))


def test_cycles_have_an_epoch_of_the_tokenizer_and_fine_tuning_has_none():
    settings = {"cycle_epochs": 4, "epochs": 7, "lr_scheduler": "cosine", "warmup_ratio": 0.1}
    tuning = {"epochs": 3, "learning_rate": 0.5, "stopping_step": 4}
    settings |= {f"finetune_{key}": value for key, value in tuning.items()}
    turns, fine = etegrec().phases({**CONFIG, **settings})
    tokenizer = {"tokenizer": LearningRate(0.001, "cosine", 0.1)}
    recommender = dict.fromkeys(("recommender", "alignment"), LearningRate(0.01, "cosine", 0.1))
    assert list(turns.learning_rates) == [tokenizer, recommender, recommender, recommender]
    assert (turns.epochs, turns.stopping_step, turns.from_best) == (7, 3, False)
    assert (fine.epochs, fine.stopping_step, fine.from_best) == (3, 4, True)
    assert list(fine.learning_rates) == [{"recommender": LearningRate(0.5, "cosine")}]
    assert len(etegrec().phases(CONFIG)) == 1


def test_codes_follow_the_tokenizer_after_its_epochs_alone():
    model = etegrec("recommender")
    before = model.ids.codes.clone()
    with torch.no_grad():
        model.tokenizer.codebooks[0].copy_(model.tokenizer.codebooks[0].flip(0))
    model.on_epoch_end(1)
    assert torch.equal(model.ids.codes, before) and not model.identifier_history
    model.tokenizer.requires_grad_(True)
    model.on_epoch_end(2)
    codes = model.tokenizer.encode(model.item_embeddings[1:])
    assert torch.equal(model.ids.codes[1:, :-1], codes)
    assert [record["epoch"] for record in model.identifier_history] == [2]


def test_more_items_with_the_same_codes_than_dedicated_tokens_are_refused():
    items = tokenized_items()
    model = ETEGRec(CONFIG, data_set(items))
    with torch.no_grad():
        for codebook in items.tokenizers[""].codebooks:
            codebook.zero_()
        for codebook in model.tokenizer.codebooks:
            codebook.zero_()
    model.ids.sizes[-1] = 39
    message = r"^append_size should be at least 40, as so many items .*, found \[39\]$"
    with pytest.raises(InputError, match=message):
        model.on_epoch_end(0)
    items.ids[""].codebook_sizes[-1] = 39
    with pytest.raises(InputError, match=message):
        ETEGRec(CONFIG, data_set(items))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer": "SoftRQVAE"}, r"^tokenizer should be RQVAE, .* found \[SoftRQVAE\]$"),
        ({"append_size": None}, r"^append_size should be a number .* found \[None\]$"),
        ({"collision": "sinkhorn"}, "collision: ETEGRec .* needs append, found sinkhorn"),
        ({"sid_file": "ids.json"}, r"sid_file: ETEGRec trains .* given semantic IDs \(ids.json\)"),
        ({"cycle_epochs": 1}, r"cycle_epochs should be an integer >= 2, found \[1\]"),
        ({"alignment_temperature": 0}, r"alignment_temperature .* > 0, found \[0\]"),
        ({"sequence_item_alignment_form": "code"}, r"_form should be .*paper.*found \[code\]"),
        ({"sequence_item_alignment_weight": -1}, r"_weight should be .* >= 0, found \[-1\]"),
        ({"alignment_hidden_sizes": [0]}, r"alignment_hidden_sizes should be .* >= 1"),
    ],
)
def test_what_cannot_work_is_named(settings, message):
    with pytest.raises(InputError, match=message):
        ETEGRec.check_config(Config("ETEGRec", "ml-100k", config_dict=settings))


def test_the_default_settings_pass():
    ETEGRec.check_config(Config("ETEGRec", "amazon-beauty"))
