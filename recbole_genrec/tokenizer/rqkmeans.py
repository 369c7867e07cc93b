"""RQ-KMeans: k-means on the residuals of the level before.

Source: Deng et al., "OneRec: Unifying Retrieve and Rank with Generative Recommender", 2025.
"""

from collections.abc import Mapping
from math import ceil, floor

import torch
from torch import Tensor

from recbole_genrec.tokenizer.kmeans import kmeans, nearest, sample_rows
from recbole_genrec.tokenizer.residual import ResidualTokenizer


class RQKMeans(ResidualTokenizer):
    """Residual k-means in the space of the item embeddings.

    The codebooks are learned on a random sample of `tokenizer_kmeans_sample` items; codes are
    assigned in chunks, so a memory-mapped array of millions of items never has to fit in memory.
    With `tokenizer_balanced` all codewords of a level are learned from equally many of them; codes
    are still those of the nearest codewords, so that further items get theirs in the same way.
    """

    def __init__(self, config: Mapping, dim: int):
        super().__init__(config, dim)
        self.iterations = config["tokenizer_kmeans_iterations"]
        self.sample = config["tokenizer_kmeans_sample"]
        self.balanced = config["tokenizer_balanced"]

    @torch.no_grad()
    def _fit(self, embeddings: Tensor, **side: Tensor) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        residual = sample_rows(embeddings, self.sample, generator).to(self.device)
        restarts = 0
        for codebook in self.codebooks:
            size = len(residual) / len(codebook)
            limits = (floor(size), ceil(size)) if self.balanced else None
            centroids, restarted = kmeans(
                residual, len(codebook), self.iterations, generator, limits
            )
            codebook.copy_(centroids)
            residual = residual - codebook[nearest(residual, codebook)]
            restarts += restarted
        self.summary = {"revived_codewords": restarts}
