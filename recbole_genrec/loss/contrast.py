"""Contrast of states with the vectors of items, those of random items as negatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def sampled_info_nce(
    queries: Tensor, items: Tensor, vectors: Tensor, negatives: Tensor, temperature: float
) -> Tensor:
    r"""Each query should find the vector of its item among those of the negatives.

    .. math::
        - \frac{1}{n} \sum_q \log \frac{\exp(\cos(q, v_{i(q)}) / \tau)}
            {\exp(\cos(q, v_{i(q)}) / \tau) + \sum_{j \in N, j \ne i(q)} \exp(\cos(q, v_j) / \tau)}

    Args:
        queries: `[n, d]`.
        items: of the queries `[n]`.
        vectors: of all items `[n_items, d]`, of length 1.
        negatives: items `[m]`, the same for all queries; the own item is none.
        temperature: tau.
    """
    queries = F.normalize(queries.float(), dim=-1)
    with torch.autocast(queries.device.type, enabled=False):
        own = torch.linalg.vecdot(queries, vectors[items])  # [n]
        others = queries @ vectors[negatives].T  # [n, m]
    others = others.masked_fill(negatives == items.unsqueeze(1), -torch.inf)
    logits = torch.cat([own.unsqueeze(1), others], 1) / temperature
    return -logits.log_softmax(-1)[:, 0].mean()
