"""Product quantization: the embedding is cut into segments and each segment gets one code.

Source: Jegou et al., "Product Quantization for Nearest Neighbor Search", TPAMI 2011; Ge et al.,
"Optimized Product Quantization", TPAMI 2014. Four segments: the form of the token-weighting paper
(arXiv 2601.17787), Section 5.2.3.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.base import ItemTokenizer
from recbole_genrec.tokenizer.kmeans import kmeans, nearest, sample_rows, squared_distances


class PQ(ItemTokenizer):
    """K-means in each of L consecutive segments of the embedding, as equal in width as L allows."""

    def __init__(self, config: Mapping, dim: int):
        super().__init__(config, dim)
        levels = len(self.codebook_sizes)
        if dim < levels:
            raise InputError(
                f"{levels} levels need embeddings of at least {levels} dims, got {dim}"
            )
        self.iterations = config["tokenizer_kmeans_iterations"]
        self.sample = config["tokenizer_kmeans_sample"]
        self.widths = [len(segment) for segment in torch.arange(dim).tensor_split(levels)]
        self.codebooks = nn.ParameterList(
            nn.Parameter(torch.zeros(size, width), requires_grad=False)
            for size, width in zip(self.codebook_sizes, self.widths, strict=True)
        )

    @torch.no_grad()
    def _fit(self, embeddings: Tensor, **side: Tensor) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        rows = sample_rows(embeddings, self.sample, generator).to(self.device)
        self._learn_rotation(rows)
        restarts = 0
        for segment, codebook in zip(self._segments(rows), self.codebooks, strict=True):
            centroids, restarted = kmeans(segment, len(codebook), self.iterations, generator)
            codebook.copy_(centroids)
            restarts += restarted
        self.summary = {"revived_codewords": restarts}

    def _learn_rotation(self, rows: Tensor) -> None:
        """Product quantization takes the axes as they are."""

    def _segments(self, embeddings: Tensor) -> tuple[Tensor, ...]:
        """Segments [n, width_l] of embeddings [n, dim]."""
        return embeddings.split(self.widths, dim=1)

    def _encode(self, embeddings: Tensor) -> Tensor:
        segments = zip(self._segments(embeddings), self.codebooks, strict=True)
        return torch.stack([nearest(segment.contiguous(), book) for segment, book in segments], 1)

    def _decode(self, codes: Tensor) -> Tensor:
        return torch.cat([book[codes[:, i]] for i, book in enumerate(self.codebooks)], 1)

    def _last_level_distances(self, embeddings: Tensor, codes: Tensor) -> Tensor:
        return squared_distances(self._segments(embeddings)[-1], self.codebooks[-1])


class OPQ(PQ):
    """Product quantization after the rotation that suits it best, learned by faiss.

    Its segments are of equal width: the rotation leads into a space of the next multiple of L.
    """

    rotation: Tensor  # [width, dim]

    def __init__(self, config: Mapping, dim: int):
        levels = len(config["codebook_sizes"])
        width = -(-dim // levels) * levels
        super().__init__(config, width)
        self.dim = dim
        self.register_buffer("rotation", torch.eye(width, dim))

    def _learn_rotation(self, rows: Tensor) -> None:
        import faiss  # of which no other tokenizer has need

        bits = (max(self.codebook_sizes) - 1).bit_length()
        width = len(self.rotation)
        quantizer = faiss.ProductQuantizer(width, len(self.widths), bits)
        quantizer.cp.seed = self.seed
        quantizer.cp.min_points_per_centroid = 1  # no advice on standard error
        matrix = faiss.OPQMatrix(width, len(self.widths))
        matrix.pq = quantizer
        matrix.train(F.pad(rows, (0, width - self.dim)).cpu().numpy())
        rotation = faiss.vector_to_array(matrix.A).reshape(width, width)
        self.rotation.copy_(torch.from_numpy(rotation[:, : self.dim]))

    def _segments(self, embeddings: Tensor) -> tuple[Tensor, ...]:
        return super()._segments(embeddings @ self.rotation.T)

    def _decode(self, codes: Tensor) -> Tensor:
        return super()._decode(codes) @ self.rotation
