"""The closed form of the teacher's projection: what it keeps, and what it gives up."""

import logging

import pytest
import torch
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.loss.alignment import aligned_projection


def covariance(rows: Tensor) -> Tensor:
    return torch.cov(rows.T, correction=0)


def projected(teacher: Tensor, items: Tensor) -> Tensor:
    weight, bias = aligned_projection(teacher, items)
    assert weight.shape == (items.shape[1], teacher.shape[1])
    return teacher @ weight.T + bias


@pytest.mark.parametrize("teacher_dim", [6, 9])
def test_the_teachers_items_get_the_mean_and_covariance_of_the_items(teacher_dim):
    items = torch.randn(500, 6) @ torch.randn(6, 6) + 3
    rows = projected(torch.randn(500, teacher_dim) @ torch.randn(teacher_dim, teacher_dim), items)
    torch.testing.assert_close(rows.mean(0), items.mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(covariance(rows), covariance(items), atol=1e-3, rtol=1e-3)


def test_a_narrow_teacher_gets_the_principal_part_of_the_covariance():
    items = torch.randn(500, 6) @ torch.randn(6, 6) + 3
    rows = projected(torch.randn(500, 4), items)
    variance, axes = torch.linalg.eigh(covariance(items))  # the smallest first
    principal = axes[:, 2:] * variance[2:] @ axes[:, 2:].T
    torch.testing.assert_close(covariance(rows), principal, atol=1e-3, rtol=1e-3)


def test_a_teacher_that_knows_the_items_is_put_back_in_their_place():
    items = torch.randn(500, 6) @ torch.randn(6, 6)
    teacher = items @ torch.randn(6, 6) - 2  # in other coordinates
    torch.testing.assert_close(projected(teacher, items), items, atol=1e-2, rtol=1e-2)


def test_no_rotation_brings_the_whitened_items_nearer_together():
    items, teacher = torch.randn(200, 3), torch.randn(200, 3)
    teacher[:, 0] += items[:, 2]
    weight, _ = (x.double() for x in aligned_projection(teacher, items))

    def whitening(rows):
        variance, axes = torch.linalg.eigh(covariance(rows.double()))
        return axes / variance.sqrt() @ axes.T

    x = (items - items.mean(0)).double() @ whitening(items)
    t = (teacher - teacher.mean(0)).double() @ whitening(teacher)
    best = whitening(items) @ weight @ torch.linalg.inv(whitening(teacher))
    torch.testing.assert_close(best @ best.T, torch.eye(3).double(), atol=1e-4, rtol=0)
    nearest = (t @ best.T - x).square().sum()
    for _ in range(200):
        other = torch.linalg.qr(torch.randn(3, 3).double()).Q
        assert (t @ other.T - x).square().sum() >= nearest


def test_few_items_are_regularized_and_the_log_says_so(caplog):
    caplog.set_level(logging.INFO)
    rows = projected(torch.randn(10, 8), torch.randn(10, 20))
    assert torch.isfinite(rows).all()
    assert "10 items, fewer than the 8 dimensions of the teacher or the 20" in caplog.text
    caplog.clear()
    projected(torch.randn(30, 8), torch.randn(30, 20))
    assert not caplog.text


@pytest.mark.parametrize("name", ["teacher", "item"])
@pytest.mark.parametrize("value", [1.0, torch.nan])
def test_embeddings_that_say_nothing_are_refused(name, value):
    rows = {"teacher": torch.randn(30, 4), "item": torch.randn(30, 4)}
    rows[name] = torch.full((30, 4), value)
    with pytest.raises(InputError, match=f"needs {name} embeddings that are finite"):
        aligned_projection(rows["teacher"], rows["item"])
