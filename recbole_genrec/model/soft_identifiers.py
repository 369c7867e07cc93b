"""What UniGRec's encoder reads and its decoder writes: soft and hard identifiers of items.

Reference: UniGRec (arXiv 2601.17438), Section 3.2, with its equation numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recbole_genrec.tokenizer.collision import resolve_collisions
from recbole_genrec.tokenizer.prefixes import group_rows, rank_in_group
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs


def soft_token_embeddings(probabilities: Sequence[Tensor], token_embedding: Tensor) -> Tensor:
    """Probability-weighted token embeddings of the codes of each level (Eq. 15).

    Scattering the probabilities of a level into the vocabulary and multiplying by all token
    embeddings is multiplying by those of the level alone.

    Args:
        probabilities: one tensor `[n, K_l]` per level.
        token_embedding: `[vocab_size, d]`; code c of level l is token 1 + K_1 + ... + K_{l-1} + c.

    Returns:
        `[n, L, d]`
    """
    sizes = [level.shape[1] for level in probabilities]
    rest = len(token_embedding) - 1 - sum(sizes)
    levels = token_embedding.split([1, *sizes, rest])[1:-1]
    return torch.stack([p @ level for p, level in zip(probabilities, levels, strict=True)], dim=1)


def follow_codes(codes: Tensor, previous: SemanticIDs, seed: int = 0) -> SemanticIDs:
    """Semantic IDs for new codes of all items, as close to the previous ones as can be.

    The last level is a dedicated token that tells items with the same codes apart. An item keeps
    its own while its codes stay; the others take the lowest free ones, in the order of their ids.
    Where more items share their codes than there are dedicated tokens, the surplus moves to other
    codes as in `resolve_collisions`.

    Args:
        codes: codes `[n_items - 1, L]` of all items but the padding item.
        previous: semantic IDs of L + 1 levels.
        seed: decides where a surplus moves.
    """
    sizes = previous.codebook_sizes
    codes, _ = resolve_collisions(codes, sizes[:-1], "append", seed, append_size=sizes[-1])
    before = previous.codes[1:].to(codes.device)
    stays = (codes[:, :-1] == before[:, :-1]).all(dim=1)
    dedicated = torch.where(stays, before[:, -1], -1)
    codes[:, -1] = fill_dedicated(group_rows(codes[:, :-1]), dedicated, sizes[-1])
    return SemanticIDs(torch.nn.functional.pad(codes, (0, 0, 1, 0)), sizes)


def fill_dedicated(group: Tensor, dedicated: Tensor, size: int) -> Tensor:
    """Give the items without a dedicated token (-1) the lowest free ones of their group.

    Args:
        group: number of the group of each item `[n]`, none larger than `size`.
        dedicated: dedicated token of each item `[n]`, distinct within a group.
        size: number of dedicated tokens.
    """
    lacking = dedicated < 0
    groups, row = group[lacking].unique(return_inverse=True)
    row_of_group = torch.full((int(group.max()) + 1,), -1, device=group.device)
    row_of_group[groups] = torch.arange(len(groups), device=group.device)
    taken = torch.zeros(len(groups), size, dtype=torch.bool, device=group.device)
    holding = ~lacking & (row_of_group[group] >= 0)
    taken[row_of_group[group[holding]], dedicated[holding]] = True
    free = (~taken).cumsum(dim=1)  # [groups, size]: free tokens up to here
    wanted = rank_in_group(row).unsqueeze(1) + 1  # the item takes the wanted-th free token
    filled = dedicated.clone()
    filled[lacking] = torch.searchsorted(free[row], wanted).flatten()
    return filled


def change_rate(before: Tensor, after: Tensor) -> list[float]:
    """Share of items whose code differs, for each level of codes `[n, L]`."""
    return (before != after).double().mean(dim=0).tolist()
