"""A teacher's item embeddings in the place of those that a tokenizer reads, in closed form."""

from __future__ import annotations

from logging import getLogger

import torch
from torch import Tensor

from recbole_genrec.errors import InputError

RIDGE = 1e-6  # of the mean variance: rounding is no direction
RIDGE_OF_FEW = 1e-2  # where there are fewer items than dimensions


def aligned_projection(teacher: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    r"""The linear layer after which a teacher's embeddings are spread as the items' are.

    With means :math:`\mu` and covariances :math:`\Sigma` of the teacher's embeddings t and the item
    embeddings x, and the principal axes :math:`V` and variances :math:`s^2` of x,

    .. math::
        f(t) = \mu_x + V \, \mathrm{diag}(s) \, R \, \Sigma_t^{-1/2} (t - \mu_t)

    where the rotation R brings the whitened embeddings of each item as near to one another as can
    be (orthogonal Procrustes; Schönemann, Psychometrika 1966). So :math:`f(t)` has the mean and the
    covariance of x, or its k largest principal variances where the teacher has only k < d
    dimensions, and keeps which items the teacher finds alike.

    Args:
        teacher: `[n, teacher_dim]`
        items: embeddings of the same items `[n, d]`.

    Returns:
        weight `[d, teacher_dim]` and bias `[d]`, float32.

    Raises:
        InputError: where the teacher's or the items' embeddings are not finite or all the same.
    """
    n, ridge = len(items), RIDGE
    if n < max(items.shape[1], teacher.shape[1]):
        ridge = RIDGE_OF_FEW
        getLogger().info(
            f"The teacher's projection comes from {n} items, fewer than the {teacher.shape[1]} "
            f"dimensions of the teacher or the {items.shape[1]} of the tokenizer: regularized by "
            f"{ridge:.0%} of the mean variance"
        )
    teacher_mean, teacher_axes, teacher_variance = _principal_axes("teacher", teacher)
    mean, axes, variance = _principal_axes("item", items)
    k = min(axes.shape[1], teacher_axes.shape[1])
    axes, variance = axes[:, :k], variance[:k]  # the largest
    whiten = teacher_axes * (teacher_variance + ridge * teacher_variance.mean()).rsqrt()
    whitened = (teacher.double() - teacher_mean) @ whiten  # [n, teacher_dim]
    scale = (variance + ridge * variance.mean()).rsqrt()
    u, _, vh = torch.linalg.svd(
        ((items.double() - mean) @ (axes * scale)).T @ whitened, full_matrices=False
    )
    weight = axes * variance.sqrt() @ (u @ vh) @ whiten.T  # [d, teacher_dim]
    bias = mean - weight @ teacher_mean
    return weight.float(), bias.float()


def _principal_axes(name: str, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean `[d]`, principal axes `[d, d]` in columns and variances `[d]`, the largest first."""
    rows = rows.double()
    mean = rows.mean(dim=0)
    centered = rows - mean
    if not (torch.isfinite(centered).all() and centered.any()):
        raise InputError(
            f"the distillation into the tokenizer needs {name} embeddings that are finite and "
            f"differ between items, found {len(rows)} rows that do not"
        )
    variance, axes = torch.linalg.eigh(centered.T @ centered / len(rows))  # the smallest first
    return mean, axes.flip(1), variance.flip(0).clamp(min=0)
