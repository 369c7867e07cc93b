"""What models write for programs that do not know this package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from recbole.data.interaction import Interaction
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from recbole_genrec.errors import InputError, refuse
from recbole_genrec.model.generative_recommender import shift_right
from recbole_genrec.tokenizer.semantic_ids import first_tokens

if TYPE_CHECKING:
    from recbole_genrec.model.tiger import TIGER

INPUT_EMBEDDINGS = "input_embeddings.safetensors"
ITEM_VECTORS = "item_vectors.safetensors"
HISTORIES = 8  # for which both must give the same scores
TOLERANCE = 1e-3  # of a log-likelihood


def export_vectors(vectors: Tensor, folder: Path) -> None:
    """Write vectors of items `[n_items, d]` as `items` `[n_items - 1, d]`, without the padding."""
    save_file({"items": vectors[1:].contiguous()}, folder / ITEM_VECTORS)


@torch.no_grad()
def export_t5(model: TIGER, folder: Path) -> None:
    """Write `config.json`, `generation_config.json` and `model.safetensors`.

    Where the encoder reads something else of the items than the embeddings of their tokens, this
    is written too: `items` `[n_items - 1, tokens, d_model]` of `input_embeddings.safetensors`.

    Args:
        model: in evaluation mode.
        folder: exists, and is empty.

    Raises:
        InputError: when `T5ForConditionalGeneration` cannot give the scores of the model.
    """
    if model.t5.tokens_per_item is not None:
        known = "bidirectional for an export (the T5 of transformers knows no other)"
        refuse("history_attention", known, "causal")
    batch = _random_histories(model)
    history, lengths = model.history(batch)
    items, _ = model.history_items(batch)
    tokens = model.labels(items).flatten()
    table = None
    if history.shape[0] != len(tokens) or not history.equal(model.t5.embedding(tokens)):
        table = _input_embeddings(model)
        history = table[items].flatten(0, 1)
    hf_model = model.t5.to_transformers()
    labels = model.labels(batch[model.ITEM_ID])
    logits = _logits(hf_model, history.split(lengths.tolist()), labels)
    theirs = model.log_likelihoods(logits, labels)
    difference = float((model.predict(batch) - theirs).abs().max())
    if not difference < TOLERANCE:
        raise InputError(
            f"{type(model).__name__} cannot be exported: it computes more than its T5, which alone "
            f"gives other scores (log-likelihoods differ by {difference:.3g})"
        )
    _save(hf_model, model, folder)
    if table is not None:
        save_file({"items": table[1:].contiguous()}, folder / INPUT_EMBEDDINGS)


def _save(hf_model, model: TIGER, folder: Path) -> None:
    """Write the model and what there is to know of it: how IDs are tokens and how to search."""
    from transformers import GenerationConfig

    sizes = model.ids.sizes
    hf_model.config.update(
        {
            "codebook_sizes": sizes,
            "first_tokens": first_tokens(sizes).tolist(),
            "history_length": model.max_seq_length,
        }
    )
    hf_model.generation_config = GenerationConfig(
        pad_token_id=0,
        decoder_start_token_id=0,
        max_new_tokens=len(sizes),
        num_beams=model.beam_size,
        length_penalty=0.0,  # the score is the sum
        renormalize_logits=model.existing_codes_only,  # over the tokens that are allowed
    )
    hf_model.save_pretrained(folder)


def _input_embeddings(model: TIGER) -> Tensor:
    """What the encoder reads of each item, `[n_items, tokens, d_model]`."""
    items = torch.arange(model.n_items)
    alone = {model.ITEM_SEQ: items.unsqueeze(1), model.ITEM_SEQ_LEN: torch.ones_like(items)}
    return model.history(Interaction(alone))[0].unflatten(0, (model.n_items, -1))


def _random_histories(model: TIGER) -> Interaction:
    """Histories of all lengths, and an item after each."""
    generator = torch.Generator().manual_seed(0)

    def draw(high: int, *shape: int) -> Tensor:
        return torch.randint(1, high, shape, generator=generator)

    lengths = draw(model.max_seq_length + 1, HISTORIES)
    items = draw(model.n_items, HISTORIES, model.max_seq_length)
    items[torch.arange(model.max_seq_length) >= lengths.unsqueeze(1)] = 0
    last = draw(model.n_items, HISTORIES)
    return Interaction({model.ITEM_SEQ: items, model.ITEM_SEQ_LEN: lengths, model.ITEM_ID: last})


def _logits(hf_model: nn.Module, histories: tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """Of the tokens `[n, L]` after embedded histories `[length, d_model]`, by `transformers`."""
    mask = pad_sequence([torch.ones(len(history)) for history in histories], batch_first=True)
    return hf_model(
        inputs_embeds=pad_sequence(list(histories), batch_first=True),
        attention_mask=mask,
        decoder_input_ids=shift_right(labels),
    ).logits
