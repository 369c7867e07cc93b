"""A small UniGRec over random items, without any file."""

from dataclasses import replace
from types import SimpleNamespace

import torch
from recbole.data.interaction import Interaction

from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.items.items import Items
from recbole_genrec.model.unigrec import UniGRec
from recbole_genrec.tokenizer.collision import resolve_collisions
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs
from recbole_genrec.tokenizer.soft_rqvae import SoftRQVAE
from tests.loss.conftest import DEFAULTS

N_ITEMS = 41  # the padding item and 40 real ones
DIM = 6  # of the item embeddings
SIZES = [4, 5]
DEDICATED = 40
TOKENIZER = {
    "tokenizer": "SoftRQVAE",
    "codebook_sizes": SIZES,
    "seed": 0,
    "tokenizer_hidden_sizes": [8],
    "tokenizer_code_dim": 3,
    "tokenizer_epochs": 2,
    "tokenizer_batch_size": 16,
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
CONFIG = {
    "id_embeddings": "text",
    **DEFAULTS,  # of all losses
    **TOKENIZER,
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
    "dropout_rate": 0.0,
    "history_attention": "bidirectional",
    "existing_codes_only": False,
    "history_unit": "token",
    "beam_size": 40,
    "valid_beam_size": None,
    "loss": "cross_entropy",
    "collision": "append",
    "append_size": DEDICATED,
    "sid_file": None,
    "learning_rate": 0.01,
    "joint_tokenizer_learning_rate": 0.001,
    "distillation_learning_rate": 0.02,
    "reconstruction_weight": 0.5,
    "tokenizer_distillation_weight": 0.01,
    "tokenizer_distillation_form": "aligned",
    "tokenizer_distillation_temperature": None,
    "tokenizer_distillation_reduction": "mean",
    "tokenizer_distillation_stop_gradient": False,
    "recommender_distillation_weight": 0.1,
    "distillation_temperature": 0.07,
    "distillation_warmup_epochs": 1,
    "epochs": 9,
    "finetune_epochs": 0,
}


def tokenized_items(temperature: float = 0.5) -> Items:
    """The items after a pre-training of their tokenizer that has ended at `temperature`."""
    embeddings = torch.nn.functional.pad(torch.randn(N_ITEMS - 1, DIM), (0, 0, 1, 0))
    tokenizer = SoftRQVAE(TOKENIZER, DIM)
    for codebook in tokenizer.codebooks:
        torch.nn.init.normal_(codebook)
    tokenizer.temperature.fill_(temperature)
    codes, sizes = resolve_collisions(
        tokenizer.encode(embeddings[1:]), SIZES, append_size=DEDICATED
    )
    return Items(
        ["[PAD]", *(f"i{n}" for n in range(1, N_ITEMS))],
        embeddings={"text": ItemEmbeddings(embeddings, ItemEncoder())},
        ids={"": SemanticIDs(torch.nn.functional.pad(codes, (0, 0, 1, 0)), sizes)},
        tokenizers={"": tokenizer},
    )


def data_set(items: Items, teacher_dim: int | None = 7) -> SimpleNamespace:
    """What the model reads of a data set."""
    if teacher_dim is not None:
        teacher = ItemEmbeddings(torch.randn(N_ITEMS, teacher_dim), ItemEncoder())
        items = replace(items, embeddings={**items.embeddings, "collaborative": teacher})
    return SimpleNamespace(
        num=lambda field: N_ITEMS, items=items, target_counts=torch.arange(N_ITEMS)
    )


def unigrec(temperature: float = 0.5, teacher_dim: int | None = 7, **settings) -> UniGRec:
    data = data_set(tokenized_items(temperature), teacher_dim)
    return UniGRec({**CONFIG, **settings}, data).eval()


def histories() -> Interaction:
    """Four histories with repeated items; two targets are the same."""
    lengths = torch.tensor([5, 1, 3, 2])
    items = torch.randint(1, 12, (4, 5))
    items[torch.arange(5) >= lengths.unsqueeze(1)] = 0
    targets = torch.tensor([3, 20, 3, 30])
    return Interaction({"item_id_list": items, "item_length": lengths, "item_id": targets})


def slow_assignments(
    model, embedding: torch.Tensor, temperature: float | None = None
) -> list[list[float]]:
    """Eq. 14 for one item `[d]`, code by code in float64, by default at the model's temperature."""
    if temperature is None:
        temperature = model.tokenizer.temperature.double()
    residual = model.tokenizer.encoder(embedding).double()
    levels = []
    for codebook in model.tokenizer.codebooks:
        codebook = codebook.double()
        scores = [
            torch.exp(-((residual - codeword) ** 2).sum() / temperature) for codeword in codebook
        ]
        probabilities = [score / sum(scores) for score in scores]
        soft = sum(p * codeword for p, codeword in zip(probabilities, codebook, strict=True))
        residual = residual - soft
        levels.append(probabilities)
    return levels


def slow_history(model, items: list[int]) -> torch.Tensor:
    """Eq. 15: soft token embeddings of one history, one item at a time, `[len(items) * L, d]`."""
    rows = []
    for item in items:
        first = 1
        for probabilities in slow_assignments(model, model.item_embeddings[item]):
            weights = torch.zeros(len(model.t5.embedding.weight), dtype=torch.float64)
            weights[first : first + len(probabilities)] = torch.stack(probabilities)
            rows.append((weights @ model.t5.embedding.weight.double()).float())
            first += len(probabilities)
    return torch.stack(rows)


def padding_free(interaction) -> list[list[int]]:
    rows = zip(interaction["item_id_list"], interaction["item_length"], strict=True)
    return [items[:length].tolist() for items, length in rows]
