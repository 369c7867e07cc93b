"""A catalogue small enough to do by hand: 4 items, 2 levels of 2 codes, 1-dimensional embeddings.

| item | tokens | embedding | times a target |
|------|--------|-----------|----------------|
| 1    | 1, 3   | 0         | 1              |
| 2    | 1, 4   | 2         | 3              |
| 3    | 2, 3   | 10        | 2              |
| 4    | 2, 4   | 12        | 0              |
"""

import pytest
import torch

from recbole_genrec.config.layers import properties
from recbole_genrec.loss import LOSSES, LossContext

DEFAULTS = properties(*(f"loss/{name}" for name in LOSSES))


@pytest.fixture
def context() -> LossContext:
    return LossContext(
        tokens=torch.tensor([[0, 0], [1, 3], [1, 4], [2, 3], [2, 4]]),
        codebook_sizes=[2, 2],
        item_embeddings=torch.tensor([[0.0], [0.0], [2.0], [10.0], [12.0]]),
        target_counts=torch.tensor([0, 1, 3, 2, 0]),
    )


@pytest.fixture
def batch(context) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits `[6, 2, 5]` that require a gradient, and labels `[6, 2]`."""
    labels = context.tokens[[1, 2, 3, 2, 4, 1]]
    return torch.randn(6, 2, 5, requires_grad=True), labels


def random_context(n_items: int, codebook_sizes: list[int], dim: int = 5) -> LossContext:
    """Unique random semantic IDs, with gaussian embeddings and random counts."""
    offset = 1 + torch.tensor([0, *codebook_sizes[:-1]]).cumsum(0)
    codes = torch.cartesian_prod(*(torch.arange(size) for size in codebook_sizes))
    codes = codes.reshape(-1, len(codebook_sizes))[torch.randperm(len(codes))[:n_items]]
    tokens = torch.cat([torch.zeros(1, len(codebook_sizes), dtype=torch.long), codes + offset])
    return LossContext(
        tokens, codebook_sizes, torch.randn(n_items + 1, dim), torch.randint(0, 50, (n_items + 1,))
    )
