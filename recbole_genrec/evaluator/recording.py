"""From the lists that an evaluation has just made to the `Recommendations` that are kept."""

from __future__ import annotations

from logging import getLogger

import numpy as np
import torch

from recbole_genrec.evaluator.protocols import UNMASKED, is_seen, other_protocol
from recbole_genrec.evaluator.recommendations import Recommendations
from recbole_genrec.model.hooks import hooks_of

HISTORY_SHOWN = 10  # items of a history that are kept, to show what a list answers
CHUNK = 4096  # histories that are gathered at a time


def collect_recommendations(trainer, train_data, test_data) -> Recommendations | None:
    """The lists of the evaluation on `test_data` that `trainer` has just made.

    Args:
        trainer: its `lists` [rows, K] by protocol follow the rows of the loader; there are none
            when the evaluation ranked samples instead of all items, and for decision trees.
        train_data: RecBole's loader of the training part, where popularity is counted.
        test_data: a `HistoryLoader`.

    Returns:
        the lists, or None if the trainer has none for every row.
    """
    lists = trainer.recommended_items
    if lists is None:
        return None
    dataset = test_data.dataset
    users, targets, rows = _test_cases(test_data)
    if len(lists) != rows.max() + 1:
        getLogger().warning(
            f"The evaluation has left lists for {len(lists)} of {rows.max() + 1} rows: "
            "no recommendations are kept."
        )
        return None
    # the first item of a user is no target: inter_matrix counts it too, item_counter may not
    counts = train_data.dataset.inter_matrix(form="csr")
    lists = {protocol: _array(own)[rows] for protocol, own in trainer.lists.items()}
    protocol = trainer.protocol
    target_seen, seen = _seen(test_data, rows, targets, lists[UNMASKED])
    return Recommendations(
        users=np.asarray(dataset.id2token(dataset.uid_field, users), dtype=object),
        targets=targets,
        items=lists[protocol],
        history_lengths=_sums(counts, axis=1)[users],
        histories=_recent_items(test_data, len(users)),
        item_tokens=np.asarray(dataset.field2id_token[dataset.iid_field], dtype=object),
        popularity=_sums(counts, axis=0),
        codes={name: _array(own) for name, own in hooks_of(trainer.model).semantic_codes().items()},
        protocol=protocol,
        other_items=lists[other_protocol(protocol)],
        seen=seen,
        target_seen=target_seen,
        seen_transition=_seen_transitions(train_data, test_data),
    )


def _test_cases(loader) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User id, target id and row of the loader, one entry [n] per target."""
    dataset = loader.dataset
    if loader.is_sequential:
        targets = _array(dataset.inter_feat[dataset.iid_field])
        return _array(dataset.inter_feat[dataset.uid_field]), targets, np.arange(len(targets))
    users = _array(loader.uid_list)
    positives = [_array(loader.uid2positive_item[user]) for user in users]
    rows = np.repeat(np.arange(len(users)), [len(items) for items in positives])
    return users[rows], np.concatenate(positives), rows


def _seen(loader, rows: np.ndarray, targets: np.ndarray, lists: np.ndarray) -> tuple:
    """Which targets [n], and which places of the lists [n, K], are items of the history."""
    items = np.column_stack([targets, lists])
    flags = np.zeros(items.shape, dtype=bool)
    for start in range(0, len(rows), CHUNK):
        chunk = slice(start, start + CHUNK)
        pairs = loader.histories.pairs(torch.as_tensor(rows[chunk]))
        flags[chunk] = is_seen(torch.as_tensor(items[chunk]), pairs).numpy()
    return flags[:, 0], flags[:, 1:] & (lists > 0)


def _seen_transitions(train_data, test_data) -> np.ndarray | None:
    """Whether each target follows the item before it also in training [n]."""
    if not test_data.is_sequential:
        return None
    n_items = test_data.dataset.item_num
    known, asked = (
        before * n_items + item
        for before, item in (loader.dataset.transitions() for loader in (train_data, test_data))
    )
    return torch.isin(asked, known).numpy()


def _recent_items(loader, n: int) -> np.ndarray:
    """The last items of each history [n, 10], oldest first; [n, 0] for models without histories."""
    if not loader.is_sequential:
        return np.zeros((n, 0), dtype=np.int32)
    dataset = loader.dataset
    list_field = dataset.iid_field + dataset.config["LIST_SUFFIX"]
    recent = [np.zeros((0, HISTORY_SHOWN), dtype=np.int32)]
    for start in range(0, n, CHUNK):
        rows = dataset.__getitem__(np.arange(start, min(start + CHUNK, n)), join=False)
        items, lengths = _array(rows[list_field]), _array(rows[dataset.item_list_length_field])
        columns = (lengths - HISTORY_SHOWN).clip(min=0)[:, None] + np.arange(HISTORY_SHOWN)
        inside = columns < lengths[:, None]
        found = np.take_along_axis(items, np.where(inside, columns, 0), axis=1)
        recent.append(np.where(inside, found, 0))
    return np.concatenate(recent)


def _sums(matrix, axis: int) -> np.ndarray:
    return np.asarray(matrix.sum(axis=axis)).ravel().astype(np.int32)


def _array(values) -> np.ndarray:
    return torch.as_tensor(values).cpu().numpy().astype(np.int32)
