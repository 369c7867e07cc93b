"""A small ETEGRec over random items, without any file."""

from types import SimpleNamespace

import torch

from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.items.items import Items
from recbole_genrec.model.etegrec import ETEGRec
from recbole_genrec.tokenizer.collision import resolve_collisions
from recbole_genrec.tokenizer.rqvae import RQVAE
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs
from tests.model import unigrec_cases
from tests.model.unigrec_cases import DEDICATED, DIM, N_ITEMS, SIZES

TOKENIZER = {
    **unigrec_cases.TOKENIZER,
    "tokenizer": "RQVAE",
    "tokenizer_commitment_weight": 0.25,
    "tokenizer_level_reduction": "mean",
}
CONFIG = {
    **unigrec_cases.CONFIG,
    "id_embeddings": "collaborative",
    **TOKENIZER,
    "cycle_epochs": 2,
    "sequence_item_alignment_weight": 0.3,
    "sequence_item_alignment_form": "paper",
    "preference_semantic_alignment_weight": 0.2,
    "alignment_temperature": 0.07,
    "alignment_hidden_sizes": None,
    "alignment_warmup_epochs": 2,
    "lr_scheduler": None,
    "warmup_ratio": None,
    "stopping_step": 3,
}


def tokenized_items() -> Items:
    """Items with collaborative embeddings and a tokenizer with random codebooks."""
    embeddings = torch.nn.functional.pad(torch.randn(N_ITEMS - 1, DIM), (0, 0, 1, 0))
    tokenizer = RQVAE(TOKENIZER, DIM)
    for codebook in tokenizer.codebooks:
        torch.nn.init.normal_(codebook)
    codes, sizes = resolve_collisions(
        tokenizer.encode(embeddings[1:]), SIZES, append_size=DEDICATED
    )
    return Items(
        ["[PAD]", *(f"i{n}" for n in range(1, N_ITEMS))],
        embeddings={"collaborative": ItemEmbeddings(embeddings, ItemEncoder())},
        ids={"": SemanticIDs(torch.nn.functional.pad(codes, (0, 0, 1, 0)), sizes)},
        tokenizers={"": tokenizer},
    )


def data_set(items: Items) -> SimpleNamespace:
    """What the model reads of a data set."""
    return SimpleNamespace(
        num=lambda field: N_ITEMS, items=items, target_counts=torch.arange(N_ITEMS)
    )


def etegrec(turn: str = "tokenizer", epoch: int = 2, **settings) -> ETEGRec:
    """In an epoch of the tokenizer or the recommender, from 2 on with alignments."""
    model = ETEGRec({**CONFIG, **settings}, data_set(tokenized_items())).train()
    for part, parameters in model.parts().items():
        for parameter in parameters:
            parameter.requires_grad_((part == "tokenizer") == (turn == "tokenizer"))
    model.on_epoch_start(epoch)
    return model
