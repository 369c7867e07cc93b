"""Runs that nobody has run: recommendations and records as a real run leaves them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from recbole_genrec.evaluator.protocols import MASKED, UNMASKED
from recbole_genrec.evaluator.ranks import rank_metrics
from recbole_genrec.evaluator.recommendations import Recommendations
from recbole_genrec.runs.record import FORMAT, RECOMMENDATIONS, RESULT, write_json


def made_up_recommendations(
    seed: int = 0,
    users: int = 60,
    items: int = 40,
    k: int = 10,
    levels: int = 0,
    skill: float = 0.3,
    sets: tuple[str, ...] = ("",),
) -> Recommendations:
    """Random lists in which a share `skill` of the targets is put in a random place.

    With `levels`, semantic IDs of as many levels for each name in `sets`.
    """
    case = np.random.default_rng(99)  # the same users and targets for all seeds
    targets = case.integers(1, items + 1, users)
    lengths = case.integers(2, 30, users)
    popularity = np.append(0, case.integers(0, 50, items))
    histories = case.integers(1, items + 1, (users, 10))
    rng = np.random.default_rng(seed)
    lists = np.stack([rng.permutation(items)[:k] + 1 for _ in range(users)])
    for row in np.flatnonzero(rng.random(users) < skill):
        lists[row][lists[row] == targets[row]] = lists[row, 0]
        lists[row, rng.integers(k)] = targets[row]
    codes = {name: np.zeros((items + 1, levels), dtype=np.int32) for name in sets if levels}
    for number, own in enumerate(codes.values()):
        place = np.arange(items) * (2 * number + 1) % items
        own[1:] = np.stack([place // 4 ** (levels - 1 - j) % 4 for j in range(levels)], 1)
    return Recommendations(
        users=np.array([f"u{i}" for i in range(users)]),
        targets=targets,
        items=lists,
        history_lengths=lengths,
        histories=np.where(np.arange(10) < lengths[:, None], histories, 0),
        item_tokens=np.array(["[PAD]", *(f"i{i:03}" for i in range(1, items + 1))]),
        popularity=popularity,
        codes=codes,
    )


def with_masked(lists: Recommendations) -> Recommendations:
    """The same with what is known since there are two protocols, from the histories shown."""
    rows = zip(lists.items, lists.histories, lists.targets, strict=True)
    seen, masked, target_seen, follows = [], np.zeros_like(lists.items), [], []
    for number, (items, history, target) in enumerate(rows):
        seen.append(np.isin(items, history))
        others = items[~seen[-1]]
        masked[number, : len(others)] = others
        target_seen.append(target in history)
        follows.append(number % 5 == 0)
    return replace(
        lists,
        protocol=UNMASKED,
        other_items=masked,
        seen=np.array(seen),
        target_seen=np.array(target_seen),
        seen_transition=np.array(follows),
    )


def write_run(
    folder: Path,
    model: str,
    seed: int,
    recommendations: Recommendations,
    settings: dict | None = None,
    **changes,
) -> Path:
    """Write the folder of a finished run whose metrics are those of the recommendations.

    `settings` are added to its configuration, `changes` to its record.
    """
    metrics = rank_metrics(recommendations.ranks, [5, 10])
    valid = [{m: v * (epoch + 1) / 4 for m, v in metrics.items()} for epoch in range(4)]
    curve = [
        {"epoch": epoch, "train_loss": 9.0 / (epoch + 1), "valid": valid[epoch]}
        for epoch in range(4)
    ]
    result = {
        "format": FORMAT,
        "status": "finished",
        "error": None,
        "model": model,
        "dataset": "made-up",
        "seed": seed,
        "fingerprint": f"{model}{seed}",
        "started": f"2026-01-01T00:00:{seed:02}+00:00",
        "config": {
            "model": model, "dataset": "made-up", "seed": seed, "data_path": str(folder / "absent"),
            "metrics": ["Recall", "NDCG"], "topk": [5, 10], "valid_metric": "NDCG@10",
            "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
            **(settings or {}),
        },
        "versions": {"recbole_genrec": "0", "python": "3"},
        "hardware": {"processor": "abacus", "cores": 2, "threads": 2, "device": "cpu"},
        "seconds": {"preparation": 1.0, "training": 60.0 * seed, "test": 3.0},
        "parameters": 1000 * len(model),
        "tokenizer_reports": {},
        "epochs_trained": 4,
        "steps": 400,
        "best_epoch": 3,
        "valid_metric": "ndcg@10",
        "valid_result": valid[-1],
        "learning_curve": curve,
        "test_result": metrics,
        "peak_memory": 2**30,
        "data_files": {},
    }  # fmt: skip
    masked = recommendations.in_protocol(MASKED)
    if masked is not None:
        result["test_results"] = {UNMASKED: metrics, MASKED: rank_metrics(masked.ranks, [5, 10])}
    folder.mkdir(parents=True)
    recommendations.save(folder / RECOMMENDATIONS)
    write_json(folder / RESULT, {**result, **changes})
    return folder
