"""Hierarchical k-means: a tree of clusters of equal size, in which each item has a leaf of its own.

Source: the released code of EAGER (Wang et al., "EAGER: Two-Stream Generative Recommender with
Behavior-Semantic Collaboration", KDD 2024), https://github.com/yewzz/EAGER. It fills the leaves
that are left over with further paths to random items; here they stay free.
"""

from collections.abc import Iterator, Mapping
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor

from recbole_genrec.errors import InputError, refuse
from recbole_genrec.tokenizer.base import ItemTokenizer, to_tensor
from recbole_genrec.tokenizer.kmeans import kmeans, limited_codes, nearest
from recbole_genrec.tokenizer.prefixes import rank_in_group


class HierarchicalKMeans(ItemTokenizer):
    """Balanced k-means, and again within each cluster; the code of a level is the cluster there.

    The last level numbers the items of a cluster, so that the semantic IDs are unique: a tree with
    K_1 * ... * K_L leaves has one for each of as many items. All items are held in memory.

    Only inner nodes with items are kept, at most one an item in a level, however large the tree is.
    They are numbered level by level from the root, 0, so that the children of a node stand side by
    side in the order of their codes. There are none before `fit`; loaded weights bring theirs.

    Attributes:
        centers: of the nodes `[n_nodes, dim]`; that of the root is the mean of all items.
        first_child: number of the first child of each node that has inner nodes as children, and
            the number behind the last child of all `[n_parents + 1]`.
    """

    form = 2
    centers: Tensor
    first_child: Tensor

    def __init__(self, config: Mapping, dim: int):
        super().__init__(config, dim)
        self.iterations = config["tokenizer_kmeans_iterations"]
        self.register_buffer("centers", torch.zeros(0, dim))
        self.register_buffer("first_child", torch.zeros(0, dtype=torch.long))

    @classmethod
    def check_count(cls, config: Mapping, n: int) -> None:
        super().check_count(config, n)
        sizes = config["codebook_sizes"]
        if prod(sizes) < n:
            refuse(
                "codebook_sizes",
                f"the branches of a tree with a leaf for each of {n} items",
                f"{sizes} with {prod(sizes)} leaves",
            )

    def fit_encode(self, embeddings: Tensor, **side: Tensor) -> Tensor:
        """Fit, and give each item the leaf that it has got in the tree.

        `encode` gives the cluster with the nearest center instead, which can be full.
        """
        self.fit(embeddings, **side)
        return self._paths.to(embeddings.device if isinstance(embeddings, Tensor) else "cpu")

    @torch.no_grad()
    def _fit(self, embeddings: Tensor, **side: Tensor) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        rows = to_tensor(embeddings, self.device)
        node = torch.zeros(len(rows), dtype=torch.long, device=self.device)  # of each item
        centers, first_child, codes = [rows.mean(0, keepdim=True)], [1], []
        for size in self.codebook_sizes[:-1]:
            code, child = torch.empty_like(node), torch.empty_like(node)
            for _, inside in members(node):
                children, own = divide(rows[inside], size, self.iterations, generator)
                code[inside], child[inside] = own, first_child[-1] + own
                centers.append(children)
                first_child.append(first_child[-1] + len(children))
            codes.append(code)
            node = child
        codes.append(rank_in_group(node))
        self._paths = torch.stack(codes, 1)
        self.centers = torch.cat(centers)
        self.first_child = torch.tensor(first_child, device=self.device)
        self.summary = {"leaves": prod(self.codebook_sizes)}

    def _encode(self, embeddings: Tensor) -> Tensor:
        """The nearest center of each level; the last code, a mere number, is 0."""
        node = torch.zeros(len(embeddings), dtype=torch.long, device=embeddings.device)
        first_child, codes = self.first_child.tolist(), []
        for _ in self.codebook_sizes[:-1]:
            code = torch.empty_like(node)
            for parent, inside in members(node):
                children = self.centers[first_child[parent] : first_child[parent + 1]]
                code[inside] = nearest(embeddings[inside], children)
            codes.append(code)
            node = self.first_child[node] + code
        return torch.stack([*codes, torch.zeros_like(node)], 1)

    def _decode(self, codes: Tensor) -> Tensor:
        """Centers of the clusters; a code behind the last child of its node is that of the last."""
        node = torch.zeros_like(codes[:, 0])
        for code in codes[:, :-1].unbind(1):
            last = self.first_child[node + 1] - 1
            node = torch.minimum(self.first_child[node] + code, last)
        return self.centers[node]

    def _last_level_distances(self, embeddings: Tensor, codes: Tensor) -> Tensor:
        """The leaves of a cluster are all alike."""
        own = (embeddings - self._decode(codes)).square().sum(1, keepdim=True)
        return own.expand(-1, self.codebook_sizes[-1])

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Take over the tree of a checkpoint, whatever its number of nodes.

        Raises:
            InputError: for one of an earlier form, with centers of nodes without items too.
        """
        if f"{prefix}centroids.0" in state_dict:
            raise InputError(
                "these weights of HierarchicalKMeans hold centers of all nodes, as an earlier "
                "version wrote them, and this one reads those of nodes with items: train again"
            )
        for name in ("centers", "first_child"):
            own, loaded = getattr(self, name), state_dict.get(f"{prefix}{name}")
            if loaded is not None and loaded.shape[1:] == own.shape[1:]:
                setattr(self, name, own.new_empty(loaded.shape))
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def members(node: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each node that has items, by its number, and its items in their order.

    Args:
        node: of each item `[n]`.

    >>> [(number, items.tolist()) for number, items in members(torch.tensor([7, 2, 7]))]
    [(2, [1]), (7, [0, 2])]
    """
    numbers, counts = node.unique(return_counts=True)
    items = node.argsort(stable=True).split(counts.tolist())
    return zip(numbers.tolist(), items, strict=True)


def divide(
    rows: Tensor, k: int, iterations: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Divide rows [n, d] into k clusters whose sizes differ by at most one.

    Returns:
        centers [min(n, k), d], and the cluster of each row [n]. Of at most k rows each is a
        cluster.
    """
    n = len(rows)
    if n <= k:
        return rows, torch.arange(n, device=rows.device)
    limits = n // k, ceil(n / k)
    centers, _ = kmeans(rows, k, iterations, generator, limits)
    return centers, limited_codes(rows, centers, *limits)
