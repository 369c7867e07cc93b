"""Exact beam search over the semantic IDs of a catalogue, for any autoregressive model."""

from __future__ import annotations

from collections.abc import Callable

import torch

from recbole_genrec.decoding.trie import ItemTrie

EDGE_BITS = 32


def beam_search(
    step: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    trie: ItemTrie,
    beam_size: int,
    batch_size: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Finds the likeliest items of every user by beam search on the trie.

    Every beam is the prefix of a real item at any time. Log-probabilities are those of the whole
    vocabulary, not renormalised over the tokens that the trie allows, so that the score of an item
    is its exact log-likelihood. With a beam as wide as the catalogue the ranking is that of scoring
    every item. Among equal scores the lexicographically smaller prefix wins, on every device.

    Args:
        step: called once per level with ``(tokens [batch, beams], parents [batch, beams])``, the
            last token of each beam and the number of the beam of the call before from which it
            descends; returns logits [batch, beams, vocab] of the next token. The first call has
            one beam, whose token is 0 (the decoder's start) and whose parent is 0. Later calls have
            as many beams as the level can fill, at most beam_size.
        trie: the items, on the device of the logits.
        beam_size: number of beams and of items returned.
        batch_size: number of users.

    Returns:
        (item ids [batch, beam_size] int64, log-probabilities [batch, beam_size] float32), best
        first. Where the catalogue has fewer items than the beam: id 0, the padding item, and -inf.
        All scores of a user with a logit that is NaN are NaN.

    Raises:
        ValueError: beam_size is not positive.
    """
    if beam_size < 1:
        raise ValueError(f"beam_size must be at least 1, got {beam_size}")
    device = trie.item.device
    nodes = torch.zeros(batch_size, 1, dtype=torch.long, device=device)
    tokens = parents = nodes
    scores = torch.zeros(batch_size, 1, device=device)
    broken = torch.zeros(batch_size, 1, dtype=torch.bool, device=device)
    for level in range(trie.num_levels):
        log_probs = step(tokens, parents).log_softmax(-1, dtype=torch.float32)
        broken |= log_probs.isnan().flatten(1).any(1, keepdim=True)
        edges, exists = trie.children(level, nodes)  # [batch, beams, kmax]
        token = trie.token[level][edges].long()
        score = scores.unsqueeze(-1) + log_probs.gather(-1, token)
        score = score.masked_fill(~exists, -torch.inf)
        scores, nodes, parents = _best(score, edges, beam_size)
        tokens = trie.token[level][nodes].long()
    items = trie.item[nodes].long().masked_fill(scores == -torch.inf, 0)
    scores = scores.masked_fill(broken, torch.nan)  # among bits that order, NaN has no place
    missing = (0, beam_size - items.shape[1])
    return (
        torch.nn.functional.pad(items, missing),
        torch.nn.functional.pad(scores, missing, value=-torch.inf),
    )


def grown(
    prefixes: torch.Tensor | None, tokens: torch.Tensor, parents: torch.Tensor
) -> torch.Tensor:
    """All tokens of each beam, for a step that needs more than the last one.

    Args:
        prefixes: result of the step before [batch, beams before, l]; None in the first step.
        tokens, parents: what the step was called with [batch, beams].

    Returns:
        [batch, beams, l + 1]
    """
    last = tokens.unsqueeze(-1)
    if prefixes is None:
        return last
    chosen = parents.unsqueeze(-1).expand(-1, -1, prefixes.shape[-1])
    return torch.cat([prefixes.gather(1, chosen), last], dim=-1)


def _best(
    score: torch.Tensor, edges: torch.Tensor, beam_size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best candidates of each user: (scores, edges, parent beams), each [batch, beams].

    Scores are log-probabilities, hence not positive, and the bits of a non-negative float32 order
    like an integer: with the edge below them one int64 holds both criteria, and no two existing
    candidates are equal, so that the outcome does not hang on how a device breaks ties.
    """
    kmax = score.shape[-1]
    cost = (0 - score).clamp_(min=0).flatten(1)  # [batch, beams * kmax], never -0.0
    key = (cost.view(torch.int32).long() << EDGE_BITS) | edges.flatten(1)
    key, position = key.topk(min(beam_size, key.shape[1]), largest=False)
    cost = (key >> EDGE_BITS).int().view(torch.float32)
    return -cost, key & (2**EDGE_BITS - 1), position // kmax
