"""The softmax over the codes that items have after a prefix, in the place of all tokens.

So no probability goes to codes that lead to no item, and those of all items sum to 1. What a step
adds in memory is a mask of the size of its logits, whatever the number of items.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from recbole_genrec.decoding.trie import ItemTrie


def of_existing_codes(logits: torch.Tensor, labels: torch.Tensor, trie: ItemTrie) -> torch.Tensor:
    """The logits, -inf for tokens that no item has after the tokens before.

    Args:
        logits: [n, L, vocab] of the tokens of items.
        labels: [n, L] the tokens of these items, on the device of the logits.
        trie: all items.
    """
    nodes = torch.zeros(len(labels), dtype=torch.long, device=labels.device)
    following = []
    for level, tokens in enumerate(labels.unbind(1)):
        following.append(trie.following(level, nodes, logits.shape[-1]))
        nodes = trie.child(level, nodes, tokens)
    return logits.masked_fill(~torch.stack(following, 1), -torch.inf)


class ExistingCodes:
    """A step of `beam_search` with the logits of another, -inf where no item goes on.

    Args:
        step: gives the logits.
        trie: all items, whichever of them are searched.
    """

    def __init__(
        self, step: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], trie: ItemTrie
    ) -> None:
        self.step, self.trie = step, trie
        self.level = 0
        self.nodes: torch.Tensor | None = None  # [batch, beams] of the beams

    def __call__(self, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """tokens, parents [batch, beams] -> logits [batch, beams, vocab]."""
        if self.nodes is None:
            self.nodes = torch.zeros_like(parents)
        else:
            self.nodes = self.trie.child(self.level, self.nodes.gather(1, parents), tokens)
            self.level += 1
        logits = self.step(tokens, parents)
        following = self.trie.following(self.level, self.nodes, logits.shape[-1])
        return logits.masked_fill(~following, -torch.inf)
