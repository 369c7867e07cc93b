"""Random and LSH semantic IDs: the controls of the TIGER paper.

Source: Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023, Section 4.3.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.base import CHUNK, ItemTokenizer, check_embeddings
from recbole_genrec.tokenizer.residual import ResidualTokenizer, sum_codewords


class _GivenCodes(ResidualTokenizer):
    """Codes that come from no codebook; `fit` learns the codewords that explain them best.

    These are, level by level, the mean residuals of the items under each code. They exist for
    reconstruction and distances alone, so that the controls can be judged like other tokenizers.
    """

    def fit(self, embeddings: Tensor, **side: Tensor) -> ItemTokenizer:
        check_embeddings(embeddings, self.dim)
        self._check_side(embeddings, side)
        codes = self.encode(embeddings).to(self.device)
        for level, codebook in enumerate(self.codebooks):
            total, count = torch.zeros_like(codebook), torch.zeros_like(codebook[:, :1])
            chunks = zip(self._chunks(embeddings), codes.split(CHUNK), strict=True)
            for chunk, chunk_codes in chunks:
                residual = chunk - sum_codewords(chunk_codes, self.codebooks[:level])
                total.index_add_(0, chunk_codes[:, level], residual)
                count.index_add_(0, chunk_codes[:, level], torch.ones_like(residual[:, :1]))
            codebook.copy_(total / count.clamp_min(1))
        return self


class Random(_GivenCodes):
    """Uniformly random codes, by the position of the item and the seed."""

    def encode(self, embeddings: Tensor) -> Tensor:
        self._check_width(embeddings)
        generator = torch.Generator().manual_seed(self.seed)
        codes = [
            torch.randint(k, (len(embeddings),), generator=generator) for k in self.codebook_sizes
        ]
        device = embeddings.device if isinstance(embeddings, Tensor) else "cpu"
        return torch.stack(codes, 1).to(device)


class LSH(_GivenCodes):
    """Locality-sensitive hashing: the sides of h random hyperplanes are the bits of a code."""

    hyperplanes: Tensor

    def __init__(self, config: Mapping, dim: int):
        super().__init__(config, dim)
        self.bits = [size.bit_length() - 1 for size in self.codebook_sizes]
        generator = torch.Generator().manual_seed(self.seed)
        self.register_buffer("hyperplanes", torch.randn(dim, sum(self.bits), generator=generator))

    @classmethod
    def check_settings(cls, config: Mapping) -> None:
        super().check_settings(config)
        sizes = config["codebook_sizes"]
        if any(size & (size - 1) for size in sizes):
            raise InputError(f"LSH needs codebook_sizes that are powers of two, got {sizes}")

    def _encode(self, embeddings: Tensor) -> Tensor:
        sides = (embeddings @ self.hyperplanes > 0).long()  # [n, all bits]
        levels = sides.split(self.bits, dim=1)
        return torch.stack(
            [(bits << torch.arange(bits.shape[1], device=bits.device)).sum(1) for bits in levels], 1
        )
