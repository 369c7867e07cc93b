"""The semantic IDs of a catalogue as a tree of tensors: decoding reaches real items only."""

from __future__ import annotations

import torch

from recbole_genrec.errors import first_few

KEY_BITS = 63  # of a non-negative int64


class ItemTrie:
    """All semantic IDs in compressed sparse rows: two tensors a level, about 12 bytes an item.

    A node of level l is a prefix of l tokens; the root is node 0 of level 0. Its children are the
    edges ``ptr[l][node]`` up to ``ptr[l][node + 1]``, in the order of their tokens. Edge e of level
    l carries ``token[l][e]`` and leads to node e of level l + 1, so that nodes need no table of
    their own, and nodes of a level stand in the lexicographic order of their prefixes. Edges of the
    last level are the leaves; ``item[e]`` is the item there.

    Args:
        tokens: [n_items, num_levels] integer tokens, row = item id. Row 0 is the padding item and
            takes no part.

    Raises:
        ValueError: there is no item, a token is negative, or two items share one semantic ID.
    """

    def __init__(self, tokens: torch.Tensor):
        if tokens.dim() != 2 or tokens.shape[0] < 2 or tokens.shape[1] < 1:
            raise ValueError(
                "a trie needs tokens of shape [n_items, num_levels] with the padding row 0 and at "
                f"least one item, got {list(tokens.shape)}"
            )
        tokens = tokens[1:]
        if tokens.min() < 0:
            raise ValueError(f"tokens must not be negative, got {int(tokens.min())}")
        order = _lexicographic_order(tokens)
        tokens = tokens[order]
        self.ptr: list[torch.Tensor] = []  # per level [n_nodes + 1] int32
        self.token: list[torch.Tensor] = []  # per level [n_edges] int16, or int32 if it must be
        # the first item below each node of the current level; the root's is the very first
        opens = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        opens[0] = True
        for column in tokens.unbind(1):
            opens_child = opens.clone()
            opens_child[1:] |= column[1:] != column[:-1]
            self.token.append(_narrow(column[opens_child]))
            edge = opens_child.cumsum(0, dtype=torch.int32) - 1
            self.ptr.append(torch.cat([edge[opens], edge[-1:] + 1]))
            opens = opens_child
        if not opens.all():
            raise ValueError(_duplicate_message(tokens, order, opens))
        self.item = (order + 1).int()  # [n_items - 1]
        self.kmax = _most_children(self.ptr)

    @property
    def num_levels(self) -> int:
        return len(self.ptr)

    @property
    def num_items(self) -> int:
        return len(self.item)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.nbytes for t in [*self.ptr, *self.token, self.item])

    def children(self, level: int, nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The edges below the given nodes, as many columns as the level's widest node needs.

        Args:
            level: level of the nodes, 0 for the root.
            nodes: [...] node ids of that level.

        Returns:
            (edges [..., kmax] int64, exists [..., kmax] bool); an edge that does not exist repeats
            some other one.
        """
        ptr = self.ptr[level]
        first, end = ptr[nodes].unsqueeze(-1), ptr[nodes + 1].unsqueeze(-1)
        edges = first + torch.arange(self.kmax[level], dtype=ptr.dtype, device=ptr.device)
        return torch.minimum(edges, end - 1).long(), edges < end

    def child(self, level: int, nodes: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Where the tokens lead from the given nodes.

        Args:
            level: level of the nodes, 0 for the root.
            nodes: [...] node ids of that level.
            tokens: [...] for each node the token of one of its children.

        Returns:
            [...] node ids of the next level.
        """
        edges, _ = self.children(level, nodes)
        here = self.token[level][edges] == tokens.unsqueeze(-1)
        return edges.gather(-1, here.int().argmax(-1, keepdim=True)).squeeze(-1)

    def following(self, level: int, nodes: torch.Tensor, vocab_size: int) -> torch.Tensor:
        """Which tokens the children of the given nodes have.

        Args:
            level: level of the nodes, 0 for the root.
            nodes: [...] node ids of that level.
            vocab_size: more than the largest token.

        Returns:
            [..., vocab_size] bool.
        """
        edges, _ = self.children(level, nodes)
        found = torch.zeros(*nodes.shape, vocab_size, dtype=torch.bool, device=nodes.device)
        return found.scatter_(-1, self.token[level][edges].long(), True)

    def restrict(self, item_ids: torch.Tensor) -> ItemTrie:
        """The trie of a subset of the items.

        Args:
            item_ids: [n] item ids, in any order.

        Raises:
            ValueError: the subset is empty or holds an item that the trie does not have.
        """
        item_ids = torch.as_tensor(item_ids, device=self.item.device).long().unique()
        keep = torch.isin(self.item, item_ids)
        if len(item_ids) == 0 or int(keep.sum()) != len(item_ids):
            unknown = item_ids[~torch.isin(item_ids, self.item)]
            raise ValueError(
                f"allowed items must be a non-empty subset of the {self.num_items} items of the "
                f"trie, got {len(item_ids)} items, unknown among them: "
                f"{first_few(unknown.tolist())}"
            )
        subset = object.__new__(ItemTrie)
        subset.item, subset.ptr, subset.token = self.item[keep], [], []
        for ptr, token in zip(reversed(self.ptr), reversed(self.token), strict=True):
            kept_before = torch.nn.functional.pad(keep.cumsum(0, dtype=torch.int32), (1, 0))[ptr]
            subset.token.insert(0, token[keep])
            keep = kept_before.diff() > 0  # nodes that keep a child are the kept edges one level up
            subset.ptr.insert(0, torch.cat([kept_before[:-1][keep], kept_before[-1:]]))
        subset.kmax = _most_children(subset.ptr)
        return subset


def _most_children(ptr: list[torch.Tensor]) -> list[int]:
    """The largest number of children at each level: the static width of a beam step."""
    return [int(level.diff().max()) for level in ptr]


def _lexicographic_order(tokens: torch.Tensor) -> torch.Tensor:
    """[n_items] row numbers in the lexicographic order of the rows of tokens [n_items, L]."""
    bits = max(1, int(tokens.max()).bit_length())
    per_key = max(1, KEY_BITS // bits)
    order: torch.Tensor | None = None
    # as many columns as fit go into one integer; stable sorts from the last group to the first
    for columns in reversed(tokens.split(per_key, dim=1)):
        key = columns[:, 0].long()
        for column in columns.unbind(1)[1:]:
            key = (key << bits) | column
        new = (key if order is None else key[order]).sort(stable=True).indices
        order = new if order is None else order[new]
    if order is None:
        raise ValueError("tokens without a level have no order")
    return order


def _narrow(token: torch.Tensor) -> torch.Tensor:
    return token.to(torch.int16 if token.max() <= torch.iinfo(torch.int16).max else torch.int32)


def _duplicate_message(tokens: torch.Tensor, order: torch.Tensor, opens: torch.Tensor) -> str:
    repeats = (~opens).nonzero().flatten()
    first = int(repeats[0])
    return (
        f"semantic IDs must be unique, but {len(repeats)} items repeat another item's, such as "
        f"items {int(order[first - 1]) + 1} and {int(order[first]) + 1}, which both have "
        f"{tokens[first].tolist()}"
    )
