"""The two protocols of ranking: items of the history stay in the list, or are masked."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_genrec.evaluator.collector import NO_ITEM, RankedItems
from recbole_genrec.model.semantic_id_recommender import SemanticIDRecommender

UNMASKED, MASKED = "unmasked", "masked"
PROTOCOLS = (UNMASKED, MASKED)
WIDTH_STEP = 16  # rows whose histories fall into one step are searched together

Pairs = tuple[Tensor, Tensor]  # row of a batch and item that its user had before, `[m]` each


def chosen_protocol(repeatable: bool | None) -> str:
    """The one that selects the best epoch and heads the tables, by RecBole's key `repeatable`."""
    return MASKED if repeatable is False else UNMASKED


def other_protocol(protocol: str) -> str:
    """The one that is measured beside it."""
    return MASKED if protocol == UNMASKED else UNMASKED


def is_seen(ids: Tensor, seen: Pairs) -> Tensor:
    """Which places of lists `[batch, k]` hold an item that the user had before.

    >>> seen = torch.tensor([0, 1]), torch.tensor([5, 3])
    >>> is_seen(torch.tensor([[3, 5], [3, 5]]), seen).tolist()
    [[False, True], [True, False]]
    """
    row, item = (part.to(ids.device) for part in seen)
    n_items = 1 + max((int(part.max()) for part in (ids, item) if part.numel()), default=0)
    rows = torch.arange(len(ids), device=ids.device).unsqueeze(1)
    return torch.isin(rows * n_items + ids, row * n_items + item)


def without_seen(ranked: RankedItems, seen: Pairs) -> RankedItems:
    """The lists `[batch, k]` without the items that each user had before.

    The others move up; the places that become free at the end hold no item.
    """
    hidden = is_seen(ranked.ids, seen)
    order = hidden.to(torch.uint8).argsort(dim=1, stable=True)
    ids = ranked.ids.masked_fill(hidden, NO_ITEM).gather(1, order)
    return RankedItems(ids, ranked.scores.masked_fill(hidden, -torch.inf).gather(1, order))


def masked_lists(
    model: SemanticIDRecommender, interaction: Interaction, ranked: RankedItems, seen: Pairs
) -> RankedItems:
    """The lists `[batch, k]` of items that the users did not have before.

    Where the unmasked list holds no item of the history, it is the masked one too. The others come
    of a second search, which is as much wider as the history is long, and so finds at least what a
    search among the other items alone would (`width_to_mask`). How wide depends on the history
    alone, not on the rest of the batch.

    Args:
        ranked: the unmasked lists `[batch, k]`.
    """
    k = ranked.ids.shape[1]
    needed = is_seen(ranked.ids, seen).any(1).cpu()
    number = _distinct(seen, len(needed))
    steps = -(-number // WIDTH_STEP) * WIDTH_STEP
    ids, scores = ranked.ids.clone(), ranked.scores.clone()
    for step in steps[needed].unique().tolist():
        rows = (needed & (steps == step)).nonzero().flatten()
        width = min(model.width_to_mask(k, step), max(k, model.n_items - 1))
        wide = RankedItems(*model.recommend(interaction[rows], width))
        place = torch.full((len(needed),), -1).index_put_((rows,), torch.arange(len(rows)))
        own = place[seen[0]] >= 0
        found = without_seen(wide, (place[seen[0][own]], seen[1][own]))
        rows = rows.to(ids.device)
        ids[rows], scores[rows] = found.ids[:, :k], found.scores[:, :k]
    return RankedItems(ids, scores)


def _distinct(seen: Pairs, rows: int) -> Tensor:
    """Number of different items of each history `[rows]`."""
    pairs = torch.stack(seen).unique(dim=1)
    return torch.bincount(pairs[0], minlength=rows)
