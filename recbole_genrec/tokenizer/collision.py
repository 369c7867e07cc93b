"""Makes semantic IDs unique: no two items may share all their codes.

    append     a dedicated last level numbers the items that share an ID (TIGER, UniGRec)
    reassign   all but the first of them get random unused codes at the last level (token weighting)
    sinkhorn   all of them are moved to unused codes of the last level by optimal transport, at the
               least total distance to the codewords (LC-Rec: Zheng et al., ICDE 2024). LC-Rec
               relaxes the problem and solves it by Sinkhorn's iterations, which can leave
               collisions; with one item per code it is a linear assignment, solved here exactly.

A prefix can hold only as many items as there are continuations of it. Where it holds more, which
only extreme data do, the surplus moves to random sibling prefixes with room, from the first level
down. So the IDs are unique afterwards whatever the input.

    keep       none of this: items go on sharing IDs, for models that tell them apart otherwise
"""

from collections.abc import Callable, Sequence
from logging import getLogger
from math import prod

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from recbole_genrec.errors import InputError, check_name
from recbole_genrec.tokenizer.prefixes import group_rows, rank_in_group

STRATEGIES = ("append", "reassign", "sinkhorn")
KEEP = "keep"
CHUNK = 65536  # items whose distances are asked for at a time
GROUPS = 4096  # prefixes whose free codes are looked up at a time

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
        InputError: unknown strategy, codes or append_size out of range, more items than possible
            IDs, or no distances for "sinkhorn".
    """
    sizes = list(codebook_sizes)
    check_name("collision", strategy, STRATEGIES)
    if strategy == "sinkhorn" and distances is None:
        raise InputError(
            "collision: sinkhorn needs the codewords of the tokenizer, which imported semantic IDs "
            "do not have: choose append or reassign"
        )
    if codes.ndim != 2 or codes.shape[1] != len(sizes):
        raise InputError(f"codes of shape {list(codes.shape)} for {len(sizes)} codebook sizes")
    if ((codes < 0) | (codes >= codes.new_tensor(sizes))).any():
        raise InputError(f"codes outside of the codebook sizes {sizes}")
    if append_size is not None and append_size < 1:
        raise InputError(f"append_size must be at least 1, got {append_size}")
    if strategy == "append":
        largest = int(rank_in_group(group_rows(codes)).max()) + 1  # items with the same codes
        sizes.append(append_size or largest)
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
    turn = rank_in_group(group_rows(codes))  # [n]; who comes first keeps its place
    for level in range(last):
        room = min(prod(sizes[level + 1 :]), len(codes))  # the product can exceed 64 bits
        _spread(codes, turn, level, sizes[level], room, generator)
    if strategy == "append":
        _warn_of_moves(turn, sizes[last], largest)
        codes[:, last] = rank_in_group(group_rows(codes[:, :last]))
    elif distances is not None and strategy == "sinkhorn":
        _transport(codes, distances)
    else:
        _spread(codes, turn, last, sizes[last], 1, generator)
    return codes.to(device), sizes


def _warn_of_moves(turn: Tensor, append_size: int, largest: int) -> None:
    moved = int((turn == len(turn)).sum())
    if moved:
        getLogger().warning(
            f"append_size [{append_size}] is too small for the {largest} items that share their "
            f"codes: {moved} of {len(turn)} items get others than those of the tokenizer"
        )


def _spread(
    codes: Tensor, turn: Tensor, level: int, size: int, capacity: int, generator: torch.Generator
) -> None:
    """Moves items, in place, to other codes of `level` so that no prefix holds over `capacity`.

    The first of a prefix by their `turn` stay; the others go to random siblings with room, where
    they come last. Each prefix before `level` must hold at most size * capacity items.
    """
    child = group_rows(codes[:, : level + 1])
    by_turn = turn.argsort(stable=True)
    surplus = by_turn[rank_in_group(child[by_turn]) >= capacity]
    if not len(surplus):
        return
    turn[surplus] = len(codes)
    parent = group_rows(codes[:, :level])  # [n]
    crowded, surplus_parent = parent[surplus].unique(return_inverse=True)
    position = rank_in_group(surplus_parent)  # of a surplus item among those of its parent
    row_of_parent = torch.full((int(parent.max()) + 1,), -1)
    row_of_parent[crowded] = torch.arange(len(crowded))
    for start in range(0, len(crowded), GROUPS):
        rows = min(GROUPS, len(crowded) - start)
        row_of_item = row_of_parent[parent] - start
        inside = (row_of_item >= 0) & (row_of_item < rows)
        places = row_of_item[inside] * size + codes[inside, level]
        held = torch.bincount(places, minlength=rows * size).view(rows, size)
        room = (capacity - held).clamp_min(0)
        mine = (surplus_parent >= start) & (surplus_parent < start + rows)
        row_of_surplus = surplus_parent[mine] - start
        found = _siblings(room, row_of_surplus, position[mine], generator)
        codes[surplus[mine], level] = found


def _siblings(room: Tensor, row: Tensor, position: Tensor, generator: torch.Generator) -> Tensor:
    """Codes [n] for items that fill the siblings of their rows, which stand in random order.

    Args:
        room: items that still fit into each sibling of a row [rows, size].
        row: of each item [n].
        position: of each item among those of its row [n].
        generator: of the order.
    """
    shuffled = torch.rand(room.shape, generator=generator).argsort(1)
    filled = room.gather(1, shuffled).cumsum(1)  # items that fit into the first siblings
    place = torch.searchsorted(filled[row], position.unsqueeze(1), right=True)
    return shuffled[row].gather(1, place).flatten()


def _transport(codes: Tensor, distances: Distances) -> None:
    """Gives, in place, the items that share an ID distinct codes of the last level.

    Within each prefix the sum of their distances to the new codewords is the least possible, codes
    of the other items being taken.
    """
    same, prefix = group_rows(codes), group_rows(codes[:, :-1])
    sharing = torch.bincount(same)[same] > 1
    affected = torch.zeros(len(codes), dtype=torch.bool)
    affected[prefix[sharing]] = True  # by prefix
    movers = _in_prefix_order(sharing, prefix)
    others = _in_prefix_order(~sharing & affected[prefix], prefix)
    if not len(movers):
        return
    cost = torch.cat([distances(rows, codes[rows]).cpu() for rows in movers.split(CHUNK)])
    movers_of = torch.bincount(prefix[movers], minlength=len(codes))[affected].tolist()
    others_of = torch.bincount(prefix[others], minlength=len(codes))[affected].tolist()
    groups = zip(
        movers.split(movers_of), cost.split(movers_of), others.split(others_of), strict=True
    )
    for rows, cost_of_rows, neighbours in groups:
        cost_of_rows[:, codes[neighbours, -1]] = torch.inf
        codes[rows, -1] = torch.from_numpy(linear_sum_assignment(cost_of_rows.numpy())[1])


def _in_prefix_order(chosen: Tensor, prefix: Tensor) -> Tensor:
    """Rows where `chosen` [n] holds, sorted by prefix [n]."""
    rows = chosen.nonzero().flatten()
    return rows[prefix[rows].argsort(stable=True)]
