"""Semantic IDs as a tree whose nodes have vectors of their own."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.tokenizer.prefixes import find_nodes, prefix_nodes, rank_in_group
from recbole_genrec.tokenizer.table import SemanticIDTable


class CodeTree(nn.Module):
    """The prefixes of all semantic IDs as numbered nodes, with logits of the children of each.

    Node 0 is the empty prefix. Shorter prefixes come before longer ones, and the children of a node
    stand side by side, in the order of their codes. The tree follows changes of the IDs.

    Args:
        ids: the semantic IDs.

    Attributes:
        nodes: of the prefixes of length 0 to L of each item `[n_items, L + 1]`, row 0 zeros.
        token: the last token of each node `[n_nodes]`, that of node 0 is 0.
        first: the first child of each node `[n_nodes]`.
        count: number of children of each node `[n_nodes]`.
        level_size: number of nodes with prefixes of length 0 to L `[L + 1]`.
        level_start: the first node of each of these levels `[L + 1]`.
    """

    nodes: Tensor
    token: Tensor
    first: Tensor
    count: Tensor
    level_size: Tensor
    level_start: Tensor
    keys: Tensor

    def __init__(self, ids: SemanticIDTable) -> None:
        super().__init__()
        self._number(ids)
        ids.on_change(partial(self._number, ids))

    def _number(self, ids: SemanticIDTable) -> None:
        keys, nodes = prefix_nodes(ids.tokens[1:], ids.vocab_size)
        parent = keys // ids.vocab_size  # of all nodes but the root
        count = parent.bincount(minlength=len(keys) + 1)
        size = torch.stack([level.amax() for level in nodes.unbind(1)]) + 1
        size = size.diff(prepend=size.new_zeros(1))  # the last node of a level is its greatest
        numbers = {
            "keys": keys,
            "nodes": F.pad(nodes, (0, 0, 1, 0)),
            "token": F.pad(keys % ids.vocab_size, (1, 0)),
            "count": count,
            "first": count.cumsum(0) - count + 1,
            "level_size": size,
            "level_start": size.cumsum(0) - size,
        }
        for name, values in numbers.items():
            self.register_buffer(name, values, persistent=False)
        self.vocab_size = ids.vocab_size
        self.most_children = [int(count[level].max()) for level in nodes.unbind(1)]  # [L + 1]

    def __len__(self) -> int:
        """Number of nodes."""
        return len(self.count)

    @property
    def num_levels(self) -> int:
        return self.nodes.shape[1] - 1

    def find(self, tokens: Tensor) -> Tensor:
        """Nodes `[n, l + 1]` of the prefixes of length 0 to l of known tokens `[n, l]`."""
        root = tokens.new_zeros(len(tokens), 1)
        if not tokens.shape[1]:
            return root
        return torch.cat([root, find_nodes(self.keys, tokens, self.vocab_size)], 1)

    def children_of(self, parents: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Children `[n, width]` of nodes `[n]`, and which of them there are; the others are 0."""
        place = torch.arange(width, device=parents.device)
        exists = place < self.count[parents].unsqueeze(1)
        return (self.first[parents].unsqueeze(1) + place).where(exists, 0), exists

    def logits(
        self, states: Tensor, parents: Tensor, vectors: Tensor, level: int | None = None
    ) -> Tensor:
        """Logits `[n, width]` of the children of each parent, -inf where there are fewer.

        Args:
            states: `[n, d]`.
            parents: nodes `[n]`.
            vectors: of all nodes `[n_nodes, d]`; the logits are products with them.
            level: that of all parents; None where they are of several.
        """
        width = max(self.most_children) if level is None else self.most_children[level]
        if level == 0:
            return F.linear(states, vectors[1 : width + 1])
        if not torch.is_grad_enabled():
            return self._logits_by_parent(states, parents, vectors, width)
        children, exists = self.children_of(parents, width)
        own = F.embedding(children, vectors)  # [n, width, d]
        return torch.bmm(own, states.unsqueeze(-1)).squeeze(-1).masked_fill(~exists, -torch.inf)

    def _logits_by_parent(
        self, states: Tensor, parents: Tensor, vectors: Tensor, width: int
    ) -> Tensor:
        """The same, reading the vectors of the children once for all states of a parent."""
        distinct, group = parents.unique(return_inverse=True)
        rank = rank_in_group(group)
        rows = states.new_zeros(len(distinct), int(rank.max()) + 1, states.shape[1])
        rows[group, rank] = states
        children, exists = self.children_of(distinct, width)
        own = F.embedding(children, vectors)  # [n_parents, width, d]
        logits = torch.bmm(rows, own.transpose(1, 2)).masked_fill(~exists.unsqueeze(1), -torch.inf)
        return logits[group, rank]

    def log_probs(self, states: Tensor, nodes: Tensor, vectors: Tensor) -> Tensor:
        r"""Log-probability of each node among its siblings, given the node before, `[n, l]`.

        .. math::
            \log P(v_l \mid v_{l-1}) = s_l^\top e_{v_l} - \log \sum_{w: \text{child of } v_{l-1}}
                \exp(s_l^\top e_w)

        Args:
            states: `[n, l, d]`, one for each of the nodes but the first.
            nodes: a path from the root `[n, l + 1]`.
            vectors: of all nodes `[n_nodes, d]`.
        """
        found = []
        for level in range(nodes.shape[1] - 1):
            before, node = nodes[:, level], nodes[:, level + 1]
            logits = self.logits(states[:, level], before, vectors, level)
            place = (node - self.first[before]).unsqueeze(1)
            found.append(logits.float().log_softmax(-1).gather(1, place))
        return torch.cat(found, 1)
