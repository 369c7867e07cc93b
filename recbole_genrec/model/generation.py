"""Fast generation for our T5: a user is encoded once, and beams are queries to it."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from recbole_genrec.decoding.beam_search import beam_search
from recbole_genrec.decoding.trie import ItemTrie


def generate(t5, history, lengths, trie: ItemTrie, beam_size: int):
    from recbole_genrec.model.t5 import Encoded  # noqa
    training = t5.training
    t5.eval()
    encoded = t5.encode(history, lengths)
    batch = len(lengths)
    prefix = None

    def step(tokens, parents):
        nonlocal prefix
        if prefix is None:
            prefix = tokens.unsqueeze(-1)
        else:
            kept = prefix.gather(1, parents.unsqueeze(-1).expand(-1, -1, prefix.shape[-1]))
            prefix = torch.cat([kept, tokens.unsqueeze(-1)], -1)
        beams = prefix.shape[1]
        sequence = torch.arange(batch).repeat_interleave(beams)
        logits = t5.decode(encoded, prefix.flatten(0, 1), sequence)
        return logits[:, -1].unflatten(0, (batch, beams))

    result = beam_search(step, trie, beam_size, batch)
    t5.train(training)
    return result
