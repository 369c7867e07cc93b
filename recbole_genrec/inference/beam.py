"""How a beam search goes down the codes, level by level."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_genrec.decoding.beam_search import beam_search, grown
from recbole_genrec.decoding.trie import ItemTrie
from recbole_genrec.model.generative_recommender import GenerativeRecommender


class Prefix(NamedTuple):
    """The first codes of a semantic ID that a beam search has kept.

    Attributes:
        codes: one for each level so far.
        log_probability: of these codes after the history.
        items: number of items whose semantic IDs begin with them.
    """

    codes: list[int]
    log_probability: float
    items: int


@torch.no_grad()
def surviving_prefixes(
    model: GenerativeRecommender, interaction: Interaction, width: int, trie: ItemTrie
) -> list[list[Prefix]]:
    """The prefixes that survive at each level `[L][beams]`, best first.

    The search is the plain one of every generative model, which decodes whole prefixes; those of
    the last level are the items of `recommend`.

    Args:
        model: writes semantic IDs.
        interaction: one history.
        width: number of beams.
        trie: the items to choose from.
    """
    step = WatchedStep(model.step(interaction))
    items, scores = beam_search(step, trie, width, 1)
    found = items[items > 0]
    levels = [*step.levels[1:], (model.ids.tokens[found], scores[0, : len(found)])]
    sizes = torch.tensor(model.ids.sizes)
    first = (sizes.cumsum(0) - sizes + 1).to(items.device)  # token of code 0 of each level
    return [_prefixes(tokens, scores, first, trie) for tokens, scores in levels]


class WatchedStep:
    """A step of `beam_search` for one user that notes the beams it is called with.

    Attributes:
        levels: tokens `[beams, l]` of the beams so far and their log-probabilities `[beams]`.
    """

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.step = step
        self.levels: list[tuple[Tensor, Tensor]] = []
        self._prefixes: Tensor | None = None  # [1, beams, 1 + l]
        self._log_probs: Tensor | None = None  # of each continuation [beams, vocab]

    def __call__(self, tokens: Tensor, parents: Tensor) -> Tensor:
        """Tokens, parents `[1, beams]` -> logits `[1, beams, vocab_size]`."""
        self._prefixes = grown(self._prefixes, tokens, parents)
        if self._log_probs is None:
            scores = torch.zeros(1, device=tokens.device)
        else:
            scores = self._log_probs[parents[0], tokens[0]]
        self.levels.append((self._prefixes[0, :, 1:], scores))
        logits = self.step(tokens, parents)
        own = logits[0].log_softmax(-1, dtype=torch.float32)
        self._log_probs = scores.unsqueeze(1) + own
        return logits


def _prefixes(tokens: Tensor, scores: Tensor, first: Tensor, trie: ItemTrie) -> list[Prefix]:
    codes = (tokens - first[: tokens.shape[1]]).tolist()
    counts = items_below(trie, tokens).tolist()
    found: dict[tuple[int, ...], Prefix] = {}
    for row in zip(codes, scores.tolist(), counts, strict=True):
        # where the beam is wider than the level, the search fills it up with repetitions
        found.setdefault(tuple(row[0]), Prefix(*row))
    return list(found.values())


def items_below(trie: ItemTrie, prefixes: Tensor) -> Tensor:
    """Number of items `[n]` whose tokens begin with each of the prefixes `[n, l]`, all in there."""
    nodes = torch.zeros(len(prefixes), dtype=torch.long, device=prefixes.device)
    for level, tokens in enumerate(prefixes.unbind(1)):
        nodes = trie.child(level, nodes, tokens)
    start, end = nodes, nodes + 1
    for ptr in trie.ptr[prefixes.shape[1] :]:
        start, end = ptr[start].long(), ptr[end].long()
    return end - start
