"""What a training loss may know of the data: the semantic IDs, their embeddings, the counts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LossContext:
    """The data that token weights are computed from. Row 0 is the padding item and never counts.

    Attributes:
        tokens: token of every item and level, LongTensor `[n_items, L]`. A token belongs to one
            level (levels have their own ranges); row 0 is all zeros.
        codebook_sizes: number of codes of each level, `[L]`.
        item_embeddings: the embeddings behind the semantic IDs `[n_items, d]`, or None where the
            semantic IDs were imported without any.
        target_counts: how often each item is the target of a training sample, `[n_items]`.

    Raises:
        ValueError: where the shapes do not belong together.
    """

    tokens: Tensor
    codebook_sizes: list[int]
    item_embeddings: Tensor | None
    target_counts: Tensor

    def __post_init__(self) -> None:
        n_items, num_levels = self.tokens.shape
        if num_levels != len(self.codebook_sizes):
            raise ValueError(
                f"tokens have {num_levels} levels, codebook_sizes {len(self.codebook_sizes)}"
            )
        for name in ("item_embeddings", "target_counts"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != n_items:
                raise ValueError(f"tokens have {n_items} rows, {name} {len(rows)}")

    @property
    def num_levels(self) -> int:
        return len(self.codebook_sizes)

    @property
    def vocab_size(self) -> int:
        """All codes and the padding token."""
        return 1 + sum(self.codebook_sizes)
