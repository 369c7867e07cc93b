"""Hierarchical k-means: a tree of clusters of equal size, in which each item has a leaf of its own.

Source: the released code of EAGER (Wang et al., "EAGER: Two-Stream Generative Recommender with
Behavior-Semantic Collaboration", KDD 2024), https://github.com/yewzz/EAGER. It fills the leaves
that are left over with further paths to random items; here they stay free.
"""

from collections.abc import Mapping
from math import ceil, prod

import torch
from torch import Tensor, nn

from recbole_genrec.errors import refuse
from recbole_genrec.tokenizer.base import ItemTokenizer, to_tensor
from recbole_genrec.tokenizer.kmeans import kmeans, limited_codes, nearest
from recbole_genrec.tokenizer.prefixes import rank_in_group


class HierarchicalKMeans(ItemTokenizer):
    """Balanced k-means, and again within each cluster; the code of a level is the cluster there.

    The last level numbers the items of a cluster, so that the semantic IDs are unique: a tree with
    K_1 * ... * K_L leaves has one for each of as many items. All items are held in memory.

    Attributes:
        centroids: of each inner node, by level and number `[K_1 * ... * K_l, dim]`; that of the
            root is the mean of all items.
    """

    def __init__(self, config: Mapping, dim: int):
        super().__init__(config, dim)
        self.iterations = config["tokenizer_kmeans_iterations"]
        self.centroids = nn.ParameterList(
            nn.Parameter(torch.zeros(prod(self.codebook_sizes[:level]), dim), requires_grad=False)
            for level in range(len(self.codebook_sizes))
        )

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
        self.centroids[0].copy_(rows.mean(0, keepdim=True))
        codes = []
        for size, centers in zip(self.codebook_sizes[:-1], self.centroids[1:], strict=True):
            code = torch.empty_like(node)
            for parent in node.unique().tolist():
                inside = (node == parent).nonzero().flatten()
                children, code[inside] = divide(rows[inside], size, self.iterations, generator)
                centers[parent * size : (parent + 1) * size] = children
            codes.append(code)
            node = node * size + code
        codes.append(rank_in_group(node))
        self._paths = torch.stack(codes, 1)
        self.summary = {"leaves": prod(self.codebook_sizes)}

    def _encode(self, embeddings: Tensor) -> Tensor:
        """The nearest center of each level; the last code, a mere number, is 0."""
        node = torch.zeros(len(embeddings), dtype=torch.long, device=embeddings.device)
        codes = []
        for size, centers in zip(self.codebook_sizes[:-1], self.centroids[1:], strict=True):
            code = torch.empty_like(node)
            for parent in node.unique().tolist():
                inside = node == parent
                own = centers[parent * size : (parent + 1) * size]
                code[inside] = nearest(embeddings[inside], own)
            codes.append(code)
            node = node * size + code
        return torch.stack([*codes, torch.zeros_like(node)], 1)

    def _decode(self, codes: Tensor) -> Tensor:
        node = torch.zeros_like(codes[:, 0])
        for level, size in enumerate(self.codebook_sizes[:-1]):
            node = node * size + codes[:, level]
        return self.centroids[-1][node]

    def _last_level_distances(self, embeddings: Tensor, codes: Tensor) -> Tensor:
        """The leaves of a cluster are all alike."""
        own = (embeddings - self._decode(codes)).square().sum(1, keepdim=True)
        return own.expand(-1, self.codebook_sizes[-1])


def divide(
    rows: Tensor, k: int, iterations: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Divide rows [n, d] into k clusters whose sizes differ by at most one.

    Returns:
        centers [k, d], and the cluster of each row [n]. Of at most k rows each is a cluster, and
        the centers that are left over repeat the last one.
    """
    n = len(rows)
    if n <= k:
        own = torch.arange(n, device=rows.device)
        return rows[torch.arange(k, device=rows.device).clamp_max(n - 1)], own
    limits = n // k, ceil(n / k)
    centers, _ = kmeans(rows, k, iterations, generator, limits)
    return centers, limited_codes(rows, centers, *limits)
