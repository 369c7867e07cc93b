"""UniGRec against numbers of its released code.

`tests/data/unigrec_parity.npz` was computed by running the released model (commit bc499ce) on
random data: 60 items of 48 dimensions, an MLP 48-40-24-16, 3 levels of 256 codewords, a T5 of 2 + 2
layers without dropout, 5 histories of at most 6 items; at three temperatures the assignments (of
the first items where they fill much space), the sums of codewords and the terms of its loss: total,
recommendation, reconstruction, distillation into the tokenizer (off), into the decoder, diversity.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from recbole_genrec.loss.cross_entropy import CrossEntropyLoss
from recbole_genrec.loss.distillation import RecommenderDistillation
from recbole_genrec.model.generative_recommender import shift_right
from recbole_genrec.model.soft_identifiers import soft_token_embeddings
from recbole_genrec.model.t5.t5 import T5
from recbole_genrec.model.t5.weights import names
from recbole_genrec.tokenizer.collision import resolve_collisions
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs
from recbole_genrec.tokenizer.soft_rqvae import SoftRQVAE, uniformity

FILE = Path(__file__).parent.parent / "data" / "unigrec_parity.npz"
TEMPERATURES = ("0.001", "0.01", "0.5")
TERMS = ("total", "rec", "recon", "kl", "decoder", "diversity")
SIZES = [256, 256, 256]
DEDICATED = 101
TOKENIZER = {
    "codebook_sizes": SIZES,
    "seed": 0,
    "tokenizer_hidden_sizes": [40, 24],
    "tokenizer_code_dim": 16,
    "tokenizer_epochs": 1,
    "tokenizer_batch_size": 60,
    "tokenizer_learning_rate": 0.001,
    "tokenizer_weight_decay": 0.0,
    "tokenizer_lr_scheduler": "constant",
    "tokenizer_warmup_ratio": 0.0,
    "tokenizer_clip_grad_norm": None,
    "tokenizer_revive_every": 0,
    "tokenizer_stopping_step": 0,
    "tokenizer_bf16": False,
    "tokenizer_loss_reduction": "mean",
    "tokenizer_temperature_max": 0.5,
    "tokenizer_temperature_min": 0.5,
    "tokenizer_uniformity_weight": 0.0001,
}


@pytest.fixture(scope="module")
def released() -> dict[str, Tensor]:
    with np.load(FILE) as file:
        return {name: torch.from_numpy(file[name]) for name in file}


@pytest.fixture
def tokenizer(released) -> SoftRQVAE:
    tokenizer = SoftRQVAE(TOKENIZER, 48)
    weights = tokenizer.state_dict()
    for part in ("encoder", "decoder"):
        for ours, theirs in ((0, 1), (2, 4), (4, 7)):  # they count dropout
            for kind in ("weight", "bias"):
                source = released[f"tokenizer/{part}.mlp_layers.{theirs}.{kind}"]
                weights[f"{part}.{ours}.{kind}"] = source
    for level in range(3):
        source = released[f"tokenizer/rq.vq_layers.{level}.embedding.weight"]
        weights[f"codebooks.{level}"] = source
    tokenizer.load_state_dict(weights)
    return tokenizer


@pytest.fixture
def t5(released) -> T5:
    t5 = T5(sum(SIZES) + DEDICATED + 1, 32, 64, 2, 16, 2, 2, 0.0)
    t5.load_state_dict(
        {
            name: torch.cat([released[f"t5/{source}"] for source in sources])
            for name, sources in names(t5).items()
        }
    )
    return t5


@pytest.fixture(params=TEMPERATURES)
def temperature(request, tokenizer) -> str:
    """One of theirs, at which the tokenizer then is."""
    tokenizer.temperature.fill_(float(request.param))
    return request.param


def test_soft_assignments_and_sums_of_codewords(released, tokenizer, temperature) -> None:
    levels, quantized = tokenizer.soft_quantize(tokenizer.to_latent(released["emb"]))
    expected = released[f"soft_{temperature}"]  # of the first items
    found = torch.stack(levels, 1)[: len(expected)]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(quantized, released[f"quant_{temperature}"], atol=1e-4, rtol=0)


def test_hard_codes_and_labels(released, tokenizer) -> None:
    tokenizer.temperature.fill_(0.001)
    codes = tokenizer.encode(released["emb"])
    assert torch.equal(codes, released["codes"])
    assert torch.equal(tokens_of(codes)[released["tgt"]], released["labels"])


def test_the_loss_term_by_term(released, tokenizer, t5, temperature) -> None:
    theirs = dict(zip(TERMS, released[f"losses_{temperature}"].tolist(), strict=True))
    embeddings = pad(released["emb"], (0, 0, 1, 0))
    histories, targets, labels = (released[name] for name in ("hist", "tgt", "labels"))
    levels = tokenizer.assignments(embeddings[histories[histories > 0]])
    soft_tokens = soft_token_embeddings(levels, t5.embedding.weight).flatten(0, 1)
    encoded = t5.encode(soft_tokens, 3 * (histories > 0).sum(1))
    states = t5.decode_states(encoded, shift_right(labels))
    ours = {"rec": CrossEntropyLoss({})(t5.logits(states), labels)}

    side = RecommenderDistillation(32, 24)
    for name, weight in side.decoder_projection.named_parameters():
        weight.data = released[f"dec_to_sasrec_adapter.mlp_layers.1.{name}"]
    ours["decoder"] = side(states[:, 0], pad(released["teacher"], (0, 0, 1, 0))[targets], targets)

    # theirs are averaged over two calls: all places of the histories, padding included, and targets
    calls = [embeddings[histories.flatten()], embeddings[targets]]
    errors = [tokenizer.squared_error(tokenizer.reconstruct(rows), rows) for rows in calls]
    ours["recon"] = sum(errors) / 2
    shares = [len(rows) / sum(map(len, calls)) for rows in calls]
    ours["diversity"] = sum(
        share * uniformity(tokenizer.assignments(rows)) / 3  # they average over the levels
        for share, rows in zip(shares, calls, strict=True)
    )
    assert {name: ours[name].item() for name in ours} == pytest.approx(
        {name: theirs[name] for name in ours}, abs=1e-4
    )


def tokens_of(codes: Tensor) -> Tensor:
    """Tokens of codes `[n, 3]` with the dedicated token, row 0 that of padding."""
    unique, sizes = resolve_collisions(codes, SIZES, append_size=DEDICATED)
    ids = SemanticIDs(pad(unique, (0, 0, 1, 0)), sizes)
    assert ids.vocab_size == sum(SIZES) + DEDICATED + 1
    return ids.tokens
