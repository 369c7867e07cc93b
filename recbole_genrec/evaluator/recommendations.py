"""What a model recommended in its test, as it is kept; comparisons and analyses start from it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.ranks import first_ranks
from recbole_genrec.files import replacing

CODES = "codes"  # of the main set in the file, `codes.<name>` of others
TEXTS = ("users", "item_tokens")
PROTOCOL = "protocol"
OTHER_PROTOCOL = ("other_items", "seen", "target_seen", "seen_transition")  # not in old files


@dataclass
class Recommendations:
    """The top-K lists of one test, one row per test case, that is, per target of a user.

    A user with several targets, as a ratio split gives them, has a row for each of them.

    Attributes:
        users: raw user tokens [n].
        targets: internal item ids [n].
        items: recommended internal item ids [n, K], best first; 0 = empty slot; in the protocol
            that selected the best epoch.
        history_lengths: interactions of the user in the training part [n].
        histories: internal ids of the most recent items before the target [n, 10], oldest first, 0
            where there are fewer; no columns for models that read no histories.
        item_tokens: raw item tokens [n_items], index = internal id, [0] = padding.
        popularity: interactions of each item in the training part [n_items].
        codes: semantic IDs [n_items, L] by the name of their set, row 0 = padding; the name of the
            main set is empty, and models without semantic IDs have none.
        protocol: that of `items`, see `evaluator.protocols`; this and what follows is None where
            it is not known, as in files of earlier versions.
        other_items: the lists in the other protocol [n, K].
        seen: which places of the unmasked lists hold an item of the history [n, K].
        target_seen: whether the target stands in the history [n].
        seen_transition: whether the target follows the last item of the history also in training
            [n]; None for models that read no histories.
    """

    users: np.ndarray
    targets: np.ndarray
    items: np.ndarray
    history_lengths: np.ndarray
    histories: np.ndarray
    item_tokens: np.ndarray
    popularity: np.ndarray
    codes: dict[str, np.ndarray]
    protocol: str | None = None
    other_items: np.ndarray | None = None
    seen: np.ndarray | None = None
    target_seen: np.ndarray | None = None
    seen_transition: np.ndarray | None = None

    def in_protocol(self, protocol: str) -> Recommendations | None:
        """The same test with the lists of this protocol as `items`; None if it is not known."""
        if protocol == self.protocol:
            return self
        if self.protocol is None or self.other_items is None:
            return None
        return replace(self, protocol=protocol, items=self.other_items, other_items=self.items)

    @property
    def ranks(self) -> np.ndarray:
        """Place of the target in the list [n], 1 = first, 0 = not in the list."""
        return first_ranks(self.items == self.targets[:, None])

    @property
    def list_of_target(self) -> np.ndarray:
        """Number of the list that each target was looked for in [n], from 0.

        Models that read histories answer each target with a list of its own, others all targets of
        a user with one list. RecBole's metrics are means over lists.
        """
        if self.histories.shape[1]:
            return np.arange(len(self.users))
        return np.unique(self.users, return_inverse=True)[1]

    def save(self, path: str | os.PathLike) -> None:
        """Writes a .npz that needs no pickle; an existing file is never left half-written."""
        arrays: dict[str, np.ndarray] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == CODES:
                arrays |= {f"{CODES}.{name}" if name else CODES: own for name, own in value.items()}
            elif field.name in TEXTS:
                arrays |= _packed(field.name, value)
            elif value is not None:
                arrays[field.name] = value
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike) -> Recommendations:
        """Reads what `save` wrote.

        Raises:
            InputError: naming the file, if it is not there or does not hold recommendations.
        """
        optional = {CODES, PROTOCOL, *OTHER_PROTOCOL}
        names = [field.name for field in fields(cls) if field.name not in optional]
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
                arrays = {
                    name: _unpacked(name, content) if name in TEXTS else content[name]
                    for name in names
                }
                arrays |= {name: content[name] for name in OTHER_PROTOCOL if name in content}
                protocol = str(content[PROTOCOL]) if PROTOCOL in content else None
                codes = {
                    key.removeprefix(CODES).removeprefix("."): content[key]
                    for key in content.files
                    if key.partition(".")[0] == CODES
                }
            codes = {name: own for name, own in codes.items() if own.size}
            loaded = cls(**arrays, codes=codes, protocol=protocol)
            loaded._check()
        except Exception as error:  # numpy, zipfile and zlib raise almost anything
            raise InputError(
                f"{path}: expected saved recommendations ({', '.join(names)}), found: {error!r}"
            ) from error
        return loaded

    def _check(self) -> None:
        """Raise a ValueError unless all arrays have the shapes and ranges that belong together."""
        cases, n_items = len(self.users), len(self.item_tokens)
        for name, array, shape in (
            ("targets", self.targets, (cases,)),
            ("items", self.items, (cases, None)),
            ("history_lengths", self.history_lengths, (cases,)),
            ("histories", self.histories, (cases, None)),
            ("popularity", self.popularity, (n_items,)),
            *((CODES, own, (n_items, None)) for own in self.codes.values()),
        ):
            fits = array.ndim == len(shape) and array.dtype.kind in "iu"
            if not fits or any(w not in (None, n) for w, n in zip(shape, array.shape, strict=True)):
                raise ValueError(f"{name} of {array.dtype}{array.shape} beside {cases} cases")
        for name, shape in (
            ("seen", self.items.shape),
            ("target_seen", (cases,)),
            ("seen_transition", (cases,)),
        ):
            flags = getattr(self, name)
            if flags is not None and (flags.dtype != bool or flags.shape != shape):
                raise ValueError(f"{name} of {flags.dtype}{flags.shape} beside {cases} cases")
        if self.other_items is not None and self.other_items.shape != self.items.shape:
            raise ValueError(f"other_items of {self.other_items.shape} beside {self.items.shape}")
        for name in ("targets", "items", "histories", "other_items"):
            array = getattr(self, name)
            if array is not None and array.size and not 0 <= array.min() <= array.max() < n_items:
                raise ValueError(f"{name} with ids outside of the {n_items} items")


def _packed(name: str, texts: np.ndarray) -> dict[str, np.ndarray]:
    """Texts end to end: an array of texts would give each the room of the longest."""
    encoded = [str(text).encode() for text in texts]
    joined = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    return {f"{name}_utf8": joined, f"{name}_lengths": np.array([*map(len, encoded)], dtype=int)}


def _unpacked(name: str, content: Mapping[str, np.ndarray]) -> np.ndarray:
    if name in content:  # as they were written before
        return content[name].astype(object)
    joined, ends = content[f"{name}_utf8"].tobytes(), np.cumsum(content[f"{name}_lengths"])
    if ends.size and ends[-1] != len(joined):
        raise ValueError(f"{name} with texts of other lengths")
    starts = np.append(0, ends)[:-1]
    texts = [joined[start:end].decode() for start, end in zip(starts, ends, strict=True)]
    return np.array([*texts, None], dtype=object)[:-1]


def align(runs: Sequence[Recommendations]) -> list[Recommendations] | None:
    """The same test cases in the same order, and items under the same ids; None if cases differ.

    Runs that loaded the same data may still number and order users and items differently.
    """
    vocabulary = np.unique(np.concatenate([run.item_tokens[1:] for run in runs]))
    aligned = [_renumbered(run, vocabulary) for run in runs]
    first = aligned[0]
    same = all(
        np.array_equal(run.users, first.users) and np.array_equal(run.targets, first.targets)
        for run in aligned
    )
    return aligned if same else None


def _renumbered(run: Recommendations, vocabulary: np.ndarray) -> Recommendations:
    """Items numbered by their place in the sorted `vocabulary`, rows sorted by user and target."""
    new_id = np.append(0, np.searchsorted(vocabulary, run.item_tokens[1:]) + 1)  # [n_items]
    targets = new_id[run.targets]
    order = np.lexsort((targets, run.users))
    popularity = np.zeros(len(vocabulary) + 1, dtype=run.popularity.dtype)
    popularity[new_id] = run.popularity
    codes = {}
    for name, own in run.codes.items():
        codes[name] = np.zeros((len(vocabulary) + 1, own.shape[1]), dtype=own.dtype)
        codes[name][new_id] = own
    other = run.other_items
    flags = {name: getattr(run, name) for name in ("seen", "target_seen", "seen_transition")}
    return Recommendations(
        users=run.users[order],
        targets=targets[order],
        items=new_id[run.items][order],
        history_lengths=run.history_lengths[order],
        histories=new_id[run.histories][order],
        item_tokens=np.append(run.item_tokens[:1], vocabulary),
        popularity=popularity,
        codes=codes,
        protocol=run.protocol,
        other_items=None if other is None else new_id[other][order],
        **{name: None if own is None else own[order] for name, own in flags.items()},
    )
