"""Small operations on the columns of feature tables."""

import numpy as np
import pandas as pd
import torch
from recbole.data.interaction import Interaction

from recbole_genrec.errors import InputError


def rows(table: Interaction, index) -> Interaction:
    """Rows of an interaction table; `index` as for a tensor, or a list or array of row numbers."""
    if not isinstance(index, (slice, int)):
        index = torch.as_tensor(index)
    return Interaction({field: table[field][index] for field in table})


def flat(column: pd.Series) -> np.ndarray:
    """The values of a column, those of sequences laid end to end."""
    if column.dtype == object:
        return np.concatenate(column.to_list())
    return column.to_numpy()


def like(column: pd.Series, values: np.ndarray):
    """Flat values back in the form of the column."""
    if column.dtype != object:
        return values
    return np.split(values, np.cumsum(column.map(len))[:-1])


def discretize(values: np.ndarray, settings: dict) -> np.ndarray:
    """Bucket of each value: equal distances (ED) or logarithmic (LD), numbered as in RecBole."""
    if settings["method"] == "ED":
        if "bucket" not in settings:
            raise InputError("discretization: the method ED needs the number of buckets [bucket]")
        low, high = values.min(), values.max() + 1e-9
        return np.floor((values - low) * settings["bucket"] / (high - low) + 1)
    if settings["method"] == "LD":
        large = values > 2
        buckets = np.where(large, np.floor(np.log(values * large + 1e-9) ** 2 + 1), values)
        return np.unique(buckets, return_inverse=True)[1]
    raise InputError(f"discretization: method should be ED or LD, found [{settings['method']}]")


def pad(rows: list[np.ndarray], width: int, dtype: torch.dtype) -> torch.Tensor:
    """Rows of different lengths as one tensor, cut to `width`, filled with 0 on the right."""
    rows = [row[:width] for row in rows]
    lengths = torch.tensor([len(row) for row in rows])  # [n]
    padded = torch.zeros(len(rows), int(lengths.max()), dtype=dtype)
    padded[torch.arange(padded.shape[1]) < lengths[:, None]] = torch.tensor(
        np.concatenate(rows), dtype=dtype
    )
    return padded
