"""Makes semantic IDs unique: no two items may share all their codes.

    append     a dedicated last level numbers the items that share an ID (TIGER, UniGRec)
    reassign   all but the first of them get random unused codes at the last level (token weighting)
    sinkhorn   all of them are spread over the unused codes of the last level by optimal transport,
               near codewords preferred (LC-Rec: Zheng et al., ICDE 2024)

A prefix can hold only as many items as there are continuations of it. Where it holds more, which
only extreme data do, the surplus moves to random sibling prefixes with room, from the first level
down. So the IDs are unique afterwards whatever the input.
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.groups import group_rows, rank_in_group

STRATEGIES = ("append", "reassign", "sinkhorn")
GROUPS = 4096  # prefixes whose free codes are looked up at a time
# LC-Rec's settings
EPSILON = 0.003
SINKHORN_ITERATIONS = 50

Distances = Callable[[Tensor, Tensor], Tensor]


def resolve_collisions(
    codes: Tensor,
    codebook_sizes: Sequence[int],
    strategy: str = "append",
    seed: int = 0,
    *,
    append_size: int | None = None,
    distances: Distances | None = None,
) -> tuple[Tensor, list[int]]:
    """Unique codes for every item.

    Args:
        codes: LongTensor [n, L], without a padding row.
        codebook_sizes: number of codes per level [L].
        strategy: "append", "reassign" or "sinkhorn".
        seed: of the random choices.
        append_size: codes of the dedicated level that "append" adds; if not given, the largest
            number of items with the same ID. (UniGRec: 101.)
        distances: for "sinkhorn": (rows [m], their codes [m, L]) -> distances [m, K_L] to the
            codewords of the last level; `ItemTokenizer.last_level_distances` of these rows.

    Returns:
        codes [n, L] or, with "append", [n, L + 1]; and their codebook sizes.

    Raises:
        InputError: unknown strategy, codes out of range, more items than possible IDs, or no
            distances for "sinkhorn".
    """
    sizes = list(codebook_sizes)
    if strategy not in STRATEGIES:
        raise InputError(f"unknown collision strategy {strategy!r}: choose {', '.join(STRATEGIES)}")
    if strategy == "sinkhorn" and distances is None:
        raise InputError(
            "collision: sinkhorn needs the codewords of the tokenizer, which imported semantic IDs "
            "do not have: choose append or reassign"
        )
    if codes.ndim != 2 or codes.shape[1] != len(sizes):
        raise InputError(f"codes of shape {list(codes.shape)} for {len(sizes)} codebook sizes")
    if ((codes < 0) | (codes >= codes.new_tensor(sizes))).any():
        raise InputError(f"codes outside of the codebook sizes {sizes}")
    if strategy == "append":
        sizes.append(append_size or int(rank_in_group(group_rows(codes)).max()) + 1)
        codes = torch.nn.functional.pad(codes, (0, 1))
    if len(codes) > prod(sizes):
        raise InputError(
            f"{len(codes)} items cannot have unique semantic IDs: codebook sizes {sizes} allow "
            f"{prod(sizes)}"
        )
    generator = torch.Generator().manual_seed(seed)
    device = codes.device
    codes = codes.cpu().clone()
    last = len(sizes) - 1
    for level in range(last):
        _spread(codes, level, sizes[level], prod(sizes[level + 1 :]), generator)
    if strategy == "append":
        codes[:, last] = rank_in_group(group_rows(codes[:, :last]))
    elif strategy == "sinkhorn":
        _transport(codes, sizes[last], distances)
    else:
        _spread(codes, last, sizes[last], 1, generator)
    return codes.to(device), sizes


def _spread(
    codes: Tensor, level: int, size: int, capacity: int, generator: torch.Generator
) -> None:
    """Moves items, in place, to other codes of `level` so that no prefix holds over `capacity`.

    The first items of a prefix stay; the others go to random siblings with room. Each prefix before
    `level` must hold at most size * capacity items.
    """
    child = group_rows(codes[:, : level + 1])
    surplus = (rank_in_group(child) >= capacity).nonzero().flatten()
    if not len(surplus):
        return
    parent = group_rows(codes[:, :level])  # [n]
    crowded, surplus_parent = parent[surplus].unique(return_inverse=True)
    position = rank_in_group(surplus_parent)  # of a surplus item among those of its parent
    row_of_parent = torch.full((int(parent.max()) + 1,), -1)
    row_of_parent[crowded] = torch.arange(len(crowded))
    for start in range(0, len(crowded), GROUPS):
        rows = min(GROUPS, len(crowded) - start)
        row = row_of_parent[parent] - start
        inside = (row >= 0) & (row < rows)
        held = torch.zeros(rows * size, dtype=torch.long)
        held.index_add_(0, row[inside] * size + codes[inside, level], torch.ones_like(row[inside]))
        room = (capacity - held.view(rows, size)).clamp_min(0)
        order = torch.rand(rows, size, generator=generator).argsort(1)  # siblings, shuffled
        filled = room.gather(1, order).cumsum(1)  # items that fit into the first siblings
        mine = (surplus_parent >= start) & (surplus_parent < start + rows)
        row = surplus_parent[mine] - start
        sibling = torch.searchsorted(filled[row], position[mine].unsqueeze(1), right=True)
        codes[surplus[mine], level] = order[row].gather(1, sibling).flatten()


def _transport(codes: Tensor, size: int, distances: Distances) -> None:
    """Gives, in place, the items that share an ID distinct codes of the last level.

    Prefixes with the same number of such items are solved together.
    """
    prefix = group_rows(codes[:, :-1])
    same = group_rows(codes)
    rows = (torch.bincount(same)[same] > 1).nonzero().flatten()  # every item that shares its ID
    if not len(rows):
        return
    rows = rows[prefix[rows].argsort(stable=True)]
    _, group, count = prefix[rows].unique_consecutive(return_inverse=True, return_counts=True)
    # codes that items outside of `rows` keep
    used = torch.zeros(len(count), size, dtype=torch.bool)
    row_of_prefix = torch.full((int(prefix.max()) + 1,), -1)
    row_of_prefix[prefix[rows]] = group
    keeps = row_of_prefix[prefix] >= 0
    keeps[rows] = False
    used[row_of_prefix[prefix[keeps]], codes[keeps, -1]] = True
    for items in count.unique().tolist():
        chosen = (count == items).nonzero().flatten()
        for part in chosen.split(max(1, 2**24 // (items * size))):
            member = rows[torch.isin(group, part)].view(len(part), items)
            cost = distances(member.flatten(), codes[member.flatten()]).cpu().double()
            plan = _sinkhorn(cost.view(len(part), items, size), used[part])
            for row in range(len(part)):
                codes[member[row], -1] = torch.from_numpy(
                    linear_sum_assignment(plan[row].numpy(), maximize=True)[1]
                )


def _sinkhorn(cost: Tensor, used: Tensor) -> Tensor:
    """Log of the balanced transport plans [g, m, K] for costs [g, m, K] and used codes [g, K].

    Every item sends out 1, every free code receives the same share, used codes nothing (-1e9).
    Costs are scaled to [-1, 1] as in LC-Rec.
    """
    low, high = cost.amin((1, 2), keepdim=True), cost.amax((1, 2), keepdim=True)
    cost = 2 * (cost - low) / (high - low).clamp_min(1e-12) - 1
    plan = (-cost / EPSILON).masked_fill(used.unsqueeze(1), -torch.inf)
    share = (cost.shape[1] / (~used).sum(1).double()).log().view(-1, 1, 1)
    for _ in range(SINKHORN_ITERATIONS):
        received = plan.logsumexp(1, keepdim=True)
        plan = (plan + share - received).masked_fill(used.unsqueeze(1), -torch.inf)
        plan = plan - plan.logsumexp(2, keepdim=True)
    return plan.clamp_min(-1e9)
