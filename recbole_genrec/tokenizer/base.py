"""What every item tokenizer has in common: item embeddings in, codes out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recbole_genrec.errors import InputError, first_few, refuse

CHUNK = 65536  # rows of a large, perhaps memory-mapped, array that are held as a tensor at a time
MOST_LEVELS = 128  # the longest published IDs have 64


class ItemTokenizer(nn.Module):
    """Turns item embeddings into `L` codes each.

    Args:
        config: mapping of the keys in properties/tokenizer/common.yaml and <class name>.yaml.
        dim: width of the item embeddings.

    Attributes:
        settings: the mapping that it was made with.
        codebook_sizes: number of codes per level [L]; the levels may differ.
        summary: plain facts about the last `fit`, such as epochs and revived codewords.
        progress_file: where a long `fit` notes how far it is, to go on there after an interruption;
            it does not if None.
    """

    side: Sequence[str] = ()
    """Further embeddings of the same items that `fit` reads, by name, such as "collaborative"."""
    form = 1
    """Of the weights: to be raised when others are saved, so that no cache of the old is read."""
    progress_file: Path | None = None

    def __init__(self, config: Mapping, dim: int):
        super().__init__()
        self.check_settings(config)
        self.settings = dict(config)
        self.dim = dim
        self.seed = config["seed"]
        self.codebook_sizes = list(config["codebook_sizes"])
        self.summary: dict = {}

    @classmethod
    def check_settings(cls, config: Mapping) -> None:
        """Raises InputError naming the key, for settings that cannot work with any embeddings."""
        levels = len(config["codebook_sizes"])
        if levels > MOST_LEVELS:
            refuse("codebook_sizes", f"those of at most {MOST_LEVELS} levels", f"{levels} levels")

    @classmethod
    def check_count(cls, config: Mapping, n: int) -> None:
        """Raises InputError naming the key, for settings that cannot work with n items."""
        sizes = config["codebook_sizes"]
        if n < max(sizes):
            raise InputError(
                f"{cls.__name__} needs at least as many items as codes in a level: "
                f"got {n} items for codebook_sizes {sizes}; set smaller ones, such as "
                "--codebook_sizes=[16,16,16]"
            )

    def fit(self, embeddings: Tensor, **side: Tensor) -> "ItemTokenizer":
        """Learns from item embeddings [n, dim], a tensor or (memory-mapped) array, no padding row.

        `side` holds the embeddings [n, d] that the attribute `side` names, row by row of the same
        items.

        Raises:
            InputError: wrong shape, NaN or infinite values, zero vectors, fewer items than codes,
                other side embeddings than those named.
        """
        check_embeddings(embeddings, self.dim)
        self._check_side(embeddings, side)
        self.check_count(self.settings, len(embeddings))
        self._fit(embeddings, **side)
        return self

    def fit_encode(self, embeddings: Tensor, **side: Tensor) -> Tensor:
        """Learns from items as `fit` does, and returns their codes LongTensor [n, L]."""
        return self.fit(embeddings, **side).encode(embeddings)

    def _fit(self, embeddings: Tensor, **side: Tensor) -> None:
        raise NotImplementedError

    def _check_side(self, embeddings: Tensor, side: Mapping[str, Tensor]) -> None:
        if set(side) != set(self.side):
            raise InputError(
                f"{type(self).__name__} reads the side embeddings {sorted(self.side)}, "
                f"got {sorted(side)}"
            )
        for name, rows in side.items():
            if len(rows) != len(embeddings):
                raise InputError(
                    f"{len(rows)} {name} embeddings for {len(embeddings)} item embeddings"
                )
            check_embeddings(rows, rows.shape[-1])

    @torch.no_grad()
    def encode(self, embeddings: Tensor) -> Tensor:
        """Codes LongTensor [n, L] of embeddings [n, dim], on the device of the embeddings.

        Raises:
            InputError: wrong width, NaN or infinite values.
        """
        self._check_width(embeddings)
        codes = []
        with torch.autocast(self.device.type, enabled=False):  # codes are the same in any caller
            for rows in self._chunks(embeddings):
                if not rows.isfinite().all():
                    raise InputError("embeddings to encode hold NaN or infinite values")
                codes.append(self._encode(rows))
        return torch.cat(codes).to(embeddings.device if isinstance(embeddings, Tensor) else "cpu")

    def _encode(self, embeddings: Tensor) -> Tensor:
        raise NotImplementedError

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Embeddings [n, dim] reconstructed from codes [n, L], on the device of the codes."""
        return self._decode(codes.to(self.device)).to(codes.device)

    def _decode(self, codes: Tensor) -> Tensor:
        raise NotImplementedError

    @torch.no_grad()
    def last_level_distances(self, embeddings: Tensor, codes: Tensor) -> Tensor:
        """Squared distances [n, K_L] to the codewords of the last level, given the other codes.

        Args:
            embeddings: [n, dim].
            codes: LongTensor [n, L]; the last column is not looked at.
        """
        rows = to_tensor(embeddings, self.device)
        return self._last_level_distances(rows, codes.to(self.device)).to(codes.device)

    def _last_level_distances(self, embeddings: Tensor, codes: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return next(iter(self.state_dict().values())).device

    def _chunks(self, rows: Tensor) -> Iterator[Tensor]:
        for start in range(0, len(rows), CHUNK):
            yield to_tensor(rows[start : start + CHUNK], self.device)

    def _check_width(self, embeddings: Tensor) -> None:
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dim:
            raise InputError(
                f"{type(self).__name__} expects embeddings [n, {self.dim}], "
                f"got shape {list(embeddings.shape)}"
            )


def to_tensor(
    rows: Tensor | np.ndarray,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Rows of a tensor or array as a tensor."""
    if not isinstance(rows, Tensor):
        rows = torch.from_numpy(np.array(rows))  # a copy, since a mapped file may be read-only
    return rows.to(device, dtype)


def check_embeddings(embeddings: Tensor, dim: int) -> None:
    """Raises InputError for embeddings that no tokenizer can learn from."""
    if embeddings.ndim != 2 or embeddings.shape[1] != dim:
        raise InputError(f"expected item embeddings [n, {dim}], got shape {list(embeddings.shape)}")
    not_finite, zero = [], []
    for start in range(0, len(embeddings), CHUNK):
        rows = to_tensor(embeddings[start : start + CHUNK])
        not_finite.append(~rows.isfinite().all(1))
        zero.append(~rows.any(1))
    for problem, masks in (("NaN or infinite", not_finite), ("zero", zero)):
        found = torch.cat(masks).nonzero().flatten().tolist() if masks else []
        if found:
            raise InputError(
                f"{len(found)} of {len(embeddings)} item embeddings are {problem} vectors, "
                f"in rows {first_few(found)}: each item needs an embedding of its own"
            )
