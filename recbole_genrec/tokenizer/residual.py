"""Codebooks that add up: what the tokenizers with residual levels share."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from recbole_genrec.tokenizer.base import ItemTokenizer
from recbole_genrec.tokenizer.kmeans import nearest, squared_distances


class ResidualTokenizer(ItemTokenizer):
    """A tokenizer that explains a latent vector as the sum of one codeword per level.

    The latent is the embedding itself unless a subclass overrides `to_latent` and `from_latent`.

    Attributes:
        codebooks: L tensors [K_l, width of the latent]; zeros until `fit`.
    """

    def __init__(self, config: Mapping, dim: int, latent_dim: int | None = None):
        super().__init__(config, dim)
        self.codebooks = nn.ParameterList(
            nn.Parameter(torch.zeros(size, latent_dim or dim), requires_grad=False)
            for size in self.codebook_sizes
        )

    def to_latent(self, embeddings: Tensor) -> Tensor:
        return embeddings

    def from_latent(self, latent: Tensor) -> Tensor:
        return latent

    def _encode(self, embeddings: Tensor) -> Tensor:
        return residual_codes(self.to_latent(embeddings), self.codebooks)

    def _decode(self, codes: Tensor) -> Tensor:
        return self.from_latent(sum_codewords(codes, self.codebooks))

    def _last_level_distances(self, embeddings: Tensor, codes: Tensor) -> Tensor:
        explained = sum_codewords(codes, self.codebooks[:-1])  # 0 with a single level
        return squared_distances(self.to_latent(embeddings) - explained, self.codebooks[-1])


def residual_codes(rows: Tensor, codebooks: Iterable[Tensor]) -> Tensor:
    """Codes [n, L] of rows [n, d]: at each level the codeword nearest to what is left."""
    codes = []
    for codebook in codebooks:
        codes.append(nearest(rows, codebook))
        rows = rows - codebook[codes[-1]]
    return torch.stack(codes, 1)


def sum_codewords(codes: Tensor, codebooks: Iterable[Tensor]) -> Tensor:
    """Sum [n, d] of the codewords that codes [n, >= L] name in L codebooks; 0 without codebooks."""
    total = torch.zeros((), device=codes.device)
    for level, codebook in enumerate(codebooks):
        total = total + codebook[codes[:, level]]
    return total
