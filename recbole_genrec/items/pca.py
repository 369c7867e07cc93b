"""Principal component analysis whose result fits into a checkpoint."""

from __future__ import annotations

import numpy as np
import sklearn.decomposition
import torch
from torch import Tensor


class PCA:
    """scikit-learn's PCA, fitted on a sample where there are many rows.

    Args:
        dim: number of components to keep.
    """

    max_fit_rows = 100_000  # more of them change little

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.mean = torch.empty(0)  # [d]
        self.components = torch.empty(0, 0)  # [dim, d]

    def fit(self, rows: np.ndarray) -> PCA:
        """Learn the components of `rows` `[n, d]`, which may be memory-mapped; n, d >= dim."""
        if len(rows) > self.max_fit_rows:
            sample = np.random.default_rng(0).choice(len(rows), self.max_fit_rows, replace=False)
            rows = rows[np.sort(sample)]
        pca = sklearn.decomposition.PCA(self.dim, random_state=0).fit(rows)
        self.mean = torch.from_numpy(pca.mean_)
        self.components = torch.from_numpy(pca.components_)
        return self

    def transform(self, rows: Tensor) -> Tensor:
        """Project `[n, d]` onto the components, `[n, dim]`."""
        return (rows - self.mean) @ self.components.T

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "components": self.components}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.mean, self.components = state["mean"], state["components"]
