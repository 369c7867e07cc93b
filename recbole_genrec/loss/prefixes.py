"""The prefixes of all semantic IDs as one sorted table: which items share which first tokens."""

from __future__ import annotations

import torch
from torch import Tensor


def prefix_nodes(tokens: Tensor, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Number all distinct prefixes, the empty one 0, shorter ones before longer ones.

    Args:
        tokens: semantic IDs `[n, L]` (without a padding row), every token below `vocab_size`.

    Returns:
        `keys`, sorted LongTensor `[n_nodes - 1]`: node v > 0 has the key
        `parent * vocab_size + token` at place v - 1, so a prefix is looked up by L binary searches;
        `nodes`, LongTensor `[n, L + 1]`: the node of each item's prefix of length 0..L.
    """
    nodes = [torch.zeros_like(tokens[:, 0])]
    keys = []
    first_node = 1
    for level in tokens.unbind(dim=1):
        level_keys, place = torch.unique(nodes[-1] * vocab_size + level, return_inverse=True)
        nodes.append(place + first_node)
        keys.append(level_keys)
        first_node += len(level_keys)
    return torch.cat(keys), torch.stack(nodes, dim=1)


def find_nodes(keys: Tensor, tokens: Tensor, vocab_size: int) -> Tensor:
    """Nodes of the prefixes of length 1..L of known semantic IDs, `[batch, L]`."""
    node = torch.zeros_like(tokens[:, 0])
    nodes = []
    for level in tokens.unbind(dim=1):
        node = torch.searchsorted(keys, node * vocab_size + level) + 1
        nodes.append(node)
    return torch.stack(nodes, dim=1)
