"""Are these semantic IDs any good? Answered before a recommender is trained on them.

All figures are exact sums over all items or all pairs of items; nothing is sampled.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from recbole_genrec.errors import InputError
from recbole_genrec.tokenizer.base import CHUNK, ItemTokenizer, to_tensor
from recbole_genrec.tokenizer.prefixes import (
    BLOCK,
    collision_rate,
    dispersion,
    entropies,
    group_rows,
    prefix_groups,
    usage_entropy,
)
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs


def quality_report(
    raw_codes: Tensor,
    semantic_ids: SemanticIDs,
    embeddings: Tensor | None = None,
    tokenizer: ItemTokenizer | None = None,
) -> dict:
    """Figures about semantic IDs and a verdict in words.

    Args:
        raw_codes: LongTensor [n, L] as they came from the tokenizer, without a padding row.
        semantic_ids: the unique IDs made of them, n + 1 rows with the padding row.
        embeddings: [n, d] item embeddings, tensor or array; without them the figures on meaning are
            left out, as for imported IDs.
        tokenizer: what gave `raw_codes`; without it there is no reconstruction error.

    Returns:
        A dict of plain values:
        num_items and codebook_sizes of the final IDs;
        distinct_ids, collision_rate (1 - distinct IDs / items), colliding_items (items that share
        their ID) and largest_bucket (items with the same ID), all before collision handling;
        levels: a dict for each level of the final IDs with codes, used, entropy (of the frequencies
        of the codes, 1 = uniform), filtered (`filtered_shares`), and where known dispersion_drop
        (the fall of `dispersion` by its code) and cosine (`prefix_cosines`);
        random_cosine (mean cosine of two random items) and dispersion (mu_0 to mu_L);
        reconstruction_error of the raw codes, as a share of the variance;
        tokenizer: its class name and facts about its training; verdict: list of sentences.
    """
    codes = semantic_ids.codes[1:].cpu()
    raw_codes = raw_codes.cpu()
    if len(raw_codes) != len(codes):
        raise InputError(f"{len(raw_codes)} raw codes for {len(codes)} semantic IDs")
    buckets = torch.bincount(group_rows(raw_codes))
    report: dict = {
        "num_items": len(codes),
        "codebook_sizes": semantic_ids.codebook_sizes,
        "distinct_ids": len(buckets),
        "collision_rate": collision_rate(raw_codes),
        "colliding_items": int(buckets[buckets > 1].sum()),
        "largest_bucket": int(buckets.max()),
    }
    groups = prefix_groups(codes)
    levels = [
        {"codes": size, **code_usage(column, size)}
        for column, size in zip(codes.unbind(1), semantic_ids.codebook_sizes, strict=True)
    ]
    _set(levels, "filtered", filtered_shares(groups))
    if embeddings is not None:
        spread = dispersion(groups, embeddings).tolist()
        cosines = prefix_cosines(embeddings, groups)
        _set(levels, "dispersion_drop", [a - b for a, b in pairwise(spread)])
        _set(levels, "cosine", cosines[1:])
        report |= {"random_cosine": cosines[0], "dispersion": spread}
        if tokenizer is not None:
            report["reconstruction_error"] = reconstruction_error(tokenizer, embeddings, raw_codes)
    if tokenizer is not None:
        report["tokenizer"] = {"name": type(tokenizer).__name__, **tokenizer.summary}
    report["levels"] = levels
    report["verdict"] = verdict(report, raw_codes.shape[1])
    return report


def add_purity_gains(report: dict, semantic_ids: SemanticIDs, item_counts: Tensor) -> None:
    """Add to each level of a report its purity_gain (`purity_gains`).

    Args:
        report: of `quality_report`, which does not depend on how the interactions are split.
        item_counts: [n] training interactions per item, without the padding item.
    """
    groups = prefix_groups(semantic_ids.codes[1:].cpu())
    _set(report["levels"], "purity_gain", purity_gains(groups, item_counts))


def code_usage(codes: Tensor, size: int) -> dict:
    """How many of `size` codes occur in `codes` [n], and their entropy divided by log(size)."""
    entropy = usage_entropy(codes) / math.log(size) if size > 1 else 1.0
    return {"used": len(codes.unique()), "entropy": entropy}


def filtered_shares(groups: Tensor) -> list[float]:
    """Share of the remaining items that each further code rules out, averaged over the items.

    Table 1 of the token-weighting paper (arXiv 2601.17787). `groups` [n, L + 1] are those of
    `prefix_groups`.
    """
    remaining = [torch.bincount(group)[group].double() for group in groups.unbind(1)]
    return [float((1 - after / before).mean()) for before, after in pairwise(remaining)]


def purity_gains(groups: Tensor, item_counts: Tensor) -> list[float]:
    """Mean rise over the items of the purity of their prefix by each further code.

    Figure 1 of the token-weighting paper: the purity of a prefix is 1 - H / log n, H the
    entropy of the interactions over its n items; 1 for a single item, 0 where nobody interacted.
    """
    return prefix_purities(groups, item_counts).mean(0).diff().tolist()


def prefix_purities(groups: Tensor, item_counts: Tensor) -> Tensor:
    """Purity of each prefix of each item `[n, L + 1]`, float64; arguments as in `purity_gains`."""
    purities = []
    for group in groups.unbind(1):
        size = torch.bincount(group)
        seen = torch.bincount(group, item_counts) > 0
        purity = torch.where(seen, 1 - entropies(group, item_counts) / size.log(), 0.0)
        purities.append(torch.where(size == 1, 1.0, purity)[group])
    return torch.stack(purities, 1)


def token_purity_gains(codes: Tensor, item_counts: Tensor) -> list[Tensor]:
    """Mean purity gain of each used token over the items that have it (Figure 1), per level.

    Args:
        codes: `[n, L]`, without the padding item.
        item_counts: training interactions of each item `[n]`.

    Returns:
        L tensors, one number for each code in use, by rising code.
    """
    gains = prefix_purities(prefix_groups(codes), item_counts).diff(dim=1)  # [n, L]
    levels = []
    for level, gain in zip(codes.unbind(1), gains.unbind(1), strict=True):
        used, place, count = level.unique(return_inverse=True, return_counts=True)
        levels.append(torch.zeros(len(used), dtype=gain.dtype).index_add_(0, place, gain) / count)
    return levels


def prefix_cosines(embeddings: Tensor, groups: Tensor) -> list[float | None]:
    """Mean cosine of all pairs of items with the same prefix, for each prefix length 0 to L.

    Args:
        embeddings: [n, d], tensor or array.
        groups: [n, L + 1], of `prefix_groups`.

    Returns:
        [L + 1], None where no two items share a prefix.
    """
    n, d = embeddings.shape
    chunks = (to_tensor(embeddings[start : start + CHUNK]) for start in range(0, n, CHUNK))
    norms = torch.cat([chunk.double().norm(dim=1) for chunk in chunks])  # [n]
    norms = norms.clamp_min(1e-12).unsqueeze(1)
    counts = [torch.bincount(group) for group in groups.unbind(1)]
    sums = [0.0] * len(counts)  # over ordered pairs, each item with itself included
    width = max(1, BLOCK // n)
    for start in range(0, d, width):
        unit = to_tensor(embeddings[:, start : start + width], dtype=torch.float64) / norms
        for k, (group, count) in enumerate(zip(groups.unbind(1), counts, strict=True)):
            total = unit.new_zeros(len(count), unit.shape[1]).index_add_(0, group, unit)
            sums[k] += float(total.square().sum())
    pairs = [int((count * (count - 1)).sum()) for count in counts]
    return [(c - n) / p if p else None for c, p in zip(sums, pairs, strict=True)]


def reconstruction_error(tokenizer: ItemTokenizer, embeddings: Tensor, codes: Tensor) -> float:
    """Squared error of the embeddings decoded from `codes` [n, L], divided by their total variance.

    0 is perfect, 1 no better than the mean embedding for every item. Embeddings that are all equal
    have no variance to explain: 0.
    """
    error, square, total = 0.0, 0.0, torch.zeros((), dtype=torch.float64)
    for start in range(0, len(embeddings), CHUNK):
        rows = to_tensor(embeddings[start : start + CHUNK]).cpu()
        decoded = tokenizer.decode(codes[start : start + CHUNK])
        error += float((decoded - rows).double().square().sum())
        square += float(rows.double().square().sum())
        total = total + rows.double().sum(0)
    variance = square - float(total.square().sum()) / len(embeddings)
    return error / variance if variance > 1e-12 * square else 0.0


def verdict(report: dict, num_raw_levels: int) -> list[str]:
    """What a reader should make of the figures; the dedicated level of "append" is not judged."""
    found = []
    for number, level in enumerate(report["levels"][:num_raw_levels], 1):
        share = level["used"] / level["codes"]
        usage = f"level {number} uses {level['used']} of {level['codes']} codes"
        if share < 0.5:
            found.append(f"{usage}: collapsed; try RQKMeans, or more tokenizer_epochs")
        elif share < 0.95:
            found.append(f"{usage}: some lie idle; fewer codes would do")
        elif level["entropy"] < 0.6:
            found.append(f"{usage}, but very unevenly (entropy {level['entropy']:.2f} of 1)")
    if report["collision_rate"] > 0.2:
        found.append(
            f"{report['collision_rate']:.0%} of the items repeated the ID of another one: "
            "add a level or codes"
        )
    elif report["largest_bucket"] > 100:
        found.append(
            f"{report['largest_bucket']} items had one and the same ID: "
            "are their texts or embeddings equal?"
        )
    cosine, random = report["levels"][0].get("cosine"), report.get("random_cosine")
    if cosine is not None and cosine - random < 0.02:
        found.append(
            f"items with the same first code are no more alike (cosine {cosine:.3f}) than any two "
            f"({random:.3f}): these IDs carry no meaning"
        )
    if report.get("reconstruction_error", 0) > 0.9:
        explained = max(0, 1 - report["reconstruction_error"])
        found.append(f"the codes explain only {explained:.0%} of the variance of the embeddings")
    for number, top in enumerate(report.get("tokenizer", {}).get("top_probability", ()), 1):
        if top < 0.5:
            found.append(
                f"level {number} gives its likeliest code a probability of only {top:.2f}, so hard "
                "codes say less than soft ones; try a smaller tokenizer_uniformity_weight"
            )
    return found or ["nothing to complain about"]


def _set(levels: list[dict], key: str, values: Sequence) -> None:
    for level, value in zip(levels, values, strict=True):
        level[key] = value
