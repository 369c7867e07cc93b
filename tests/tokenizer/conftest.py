"""Small clustered embeddings and the settings of any tokenizer at a size for tests."""

from collections.abc import Callable

import pytest
import torch
import yaml
from torch import Tensor

from tests.conftest import REPOSITORY

SMALL = {
    "seed": 7,
    "codebook_sizes": [16, 8, 8],
    "tokenizer_hidden_sizes": [32],
    "tokenizer_code_dim": 8,
    "teacher_hidden_size": 8,
    "tokenizer_epochs": 60,
    "tokenizer_batch_size": 100,
    "tokenizer_learning_rate": 0.01,
}


@pytest.fixture
def settings() -> Callable[..., dict]:
    """`settings(tokenizer, **changes)`: the shipped properties, made small, then changed."""

    def read(name: str, **changes: object) -> dict:
        config: dict = {}
        for file in ("common", name):
            text = (REPOSITORY / "properties" / "tokenizer" / f"{file}.yaml").read_text()
            config |= yaml.safe_load(text)
        return {**config, **SMALL, "tokenizer": name, **changes}

    return read


@pytest.fixture
def embeddings() -> Tensor:
    """400 unit vectors [400, 24] in 40 clusters of 10."""
    generator = torch.Generator().manual_seed(3)
    centers = torch.randn(40, 24, generator=generator).repeat_interleave(10, 0)
    rows = centers + 0.5 * torch.randn(400, 24, generator=generator)
    return torch.nn.functional.normalize(rows, dim=1)
