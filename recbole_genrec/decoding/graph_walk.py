"""A walk along a graph of items to those that score high, without looking at all of them."""

import torch
from torch import Tensor


def graph_walk(scores: Tensor, graph: Tensor, start: Tensor, steps: int) -> Tensor:
    """Where a walk ends that keeps the best of what its items lead to, step by step.

    Args:
        scores: of all items `[batch, n_items]`.
        graph: items that each item leads to, itself as a rule among them `[n_items, edges]`.
        start: items to start from, the same for all rows `[beams]`.
        steps: at least 1.

    Returns:
        items `[batch, beams]`, best first; some twice where the walk has reached fewer.

    >>> ring = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]])
    >>> graph_walk(torch.tensor([[0.1, 0.2, 0.3, 0.4]]), ring, torch.tensor([0]), steps=2)
    tensor([[2]])
    """
    beams = start.expand(len(scores), -1)
    for _ in range(steps):
        reached = graph[beams].flatten(1).sort(1).values  # [batch, beams * edges]
        again = torch.zeros_like(reached, dtype=torch.bool)
        again[:, 1:] = reached[:, 1:] == reached[:, :-1]
        found = scores.gather(1, reached).masked_fill(again, -torch.inf)
        beams = reached.gather(1, found.topk(len(start)).indices)
    return beams
