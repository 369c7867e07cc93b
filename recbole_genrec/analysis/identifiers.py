"""What joint training does to codebooks and identifiers: Figures 3, 5 and 6 of UniGRec.

Reference: UniGRec (arXiv 2601.17438), Section 4.4.1 and 4.5.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from recbole_genrec.analysis.plots import (
    figure_class,
    plot_codebooks,
    plot_collisions,
    plot_identifiers,
)
from recbole_genrec.errors import InputError
from recbole_genrec.files import check_writable, replacing
from recbole_genrec.model.soft_identifiers import change_rate
from recbole_genrec.runs.checkpoint import load_checkpoint
from recbole_genrec.tokenizer.prefixes import collision_rate, usage_entropy
from recbole_genrec.tokenizer.soft_rqvae import SoftRQVAE

POINTS = 30  # of the tokenizer's own stage, at which its collisions are counted


def codebook_analysis(codebooks: Sequence[Tensor], codes: Tensor) -> list[dict[str, Any]]:
    """Spread and usage of the codewords of each level (Figure 5).

    Args:
        codebooks: L tensors `[K_l, width]`.
        codes: hard codes of all items `[n, >= L]`.

    Returns:
        per level `entropy` of the usage in nats, `max_entropy` (that of uniform usage), `used`
        codewords, `points`, the codewords on their two principal axes `[K_l, 2]`, and
        `explained_variance`, the share of the codewords' variance along each.
    """
    levels = []
    for level, codebook in enumerate(codebooks):
        points, explained = principal_axes(codebook)
        levels.append(
            {
                "entropy": usage_entropy(codes[:, level]),
                "max_entropy": float(torch.tensor(len(codebook)).double().log()),
                "used": len(codes[:, level].unique()),
                "points": points.tolist(),
                "explained_variance": explained.tolist(),
            }
        )
    return levels


def principal_axes(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates `[n, 2]` of rows `[n, d]` on their principal axes, and the shares of variance."""
    rows = rows.double()
    u, s, _ = torch.linalg.svd(rows - rows.mean(dim=0), full_matrices=False)
    points = pad(u[:, :2] * s[:2], (0, 2 - min(2, len(s))))  # fewer codes or dims: a line, a point
    flip = points.gather(0, points.abs().argmax(dim=0, keepdim=True)).sign()  # else arbitrary
    return points * flip, s[:2].square() / s.square().sum().clamp_min(torch.finfo(s.dtype).tiny)


def identifier_changes(before: Tensor, after: Tensor) -> dict[str, Any]:
    """How the hard codes of items differ between two states of a tokenizer (Figure 6).

    Args:
        before, after: codes `[n, L]`.

    Returns:
        `change_rate`: share of items whose code differs, per level; `patterns`: share of items by
        the levels that differ ("none", "1", "1+3", ...), the most frequent first; `at_most_one`:
        share of items that differ at no more than one level.
    """
    changed = before != after  # [n, L]
    patterns = Counter(
        "+".join(str(level) for level, differs in enumerate(row, 1) if differs) or "none"
        for row in changed.tolist()
    )
    return {
        "change_rate": change_rate(before, after),
        "patterns": {name: count / len(changed) for name, count in patterns.most_common()},
        "at_most_one": float((changed.sum(dim=1) <= 1).double().mean()),
    }


class _WatchedSoftRQVAE(SoftRQVAE):
    """Notes the collision rate of `watched` items while `fit` goes on."""

    def watch(self, embeddings: Tensor) -> None:
        self.watched = embeddings
        self.curve: list[dict[str, float]] = []

    def note(self, progress: float) -> None:
        rate = collision_rate(self.encode(self.watched))
        self.curve.append({"progress": progress, "collision_rate": rate})

    def loss(self, embeddings: Tensor, progress: float, **side: Tensor) -> Tensor:
        loss = super().loss(embeddings, progress, **side)  # sets the temperature
        if progress >= len(self.curve) / POINTS:
            self.note(progress)
        return loss


def pretraining_collisions(path: str | Path) -> list[dict[str, float]]:
    """Collision rate over the tokenizer's own stage (Figure 3), by training it once more.

    Args:
        path: a checkpoint of UniGRec, which has the settings and the item embeddings.

    Returns:
        `progress`, the share of all steps, and `collision_rate` of each point and of the end.

    Raises:
        InputError: if the checkpoint is not one of UniGRec.
    """
    checkpoint = load_checkpoint(path)
    embeddings = checkpoint["state_dict"].get("item_embeddings")
    if embeddings is None:
        raise InputError(f"[{path}] has no item embeddings: expected a checkpoint of UniGRec")
    settings = checkpoint["extra"]["items"]["tokenizers"][""]["settings"]
    tokenizer = _WatchedSoftRQVAE(settings, embeddings.shape[1])
    tokenizer.to("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer.watch(embeddings[1:])
    tokenizer.fit(embeddings[1:]).note(1.0)
    return tokenizer.curve


def analyze_checkpoint(path: str | Path) -> dict[str, Any]:
    """The analyses of one checkpoint of a model whose tokenizer has codebooks.

    Returns:
        `codebooks` (see `codebook_analysis`); of UniGRec also `identifiers` (see
        `identifier_changes`, from the tokenizer stage to the checkpoint) and `joint_training`, the
        collision and change rates of each epoch.

    Raises:
        InputError: if the checkpoint has no codebooks.
    """
    checkpoint = load_checkpoint(path)
    items = checkpoint.get("extra", {}).get("items", {"tokenizers": {}})
    weights = items["tokenizers"][""]["state"] if "" in items["tokenizers"] else {}
    levels = [int(name.split(".")[1]) for name in weights if name.startswith("codebooks.")]
    codebooks = [weights[f"codebooks.{level}"] for level in sorted(levels)]
    if not codebooks:
        raise InputError(f"[{path}] has no codebooks: expected a model with a trained tokenizer")
    codes = items["ids"][""]["codes"][1:]
    analysis: dict[str, Any] = {"codebooks": codebook_analysis(codebooks, codes)}
    pretrained = checkpoint["state_dict"].get("pretrained_codes")
    if pretrained is not None:
        levels = len(codebooks)  # without the dedicated token
        analysis["identifiers"] = identifier_changes(pretrained[1:, :levels], codes[:, :levels])
        analysis["joint_training"] = checkpoint["extra"]["identifier_history"]
    return analysis


def write_analysis(
    paths: Sequence[str | Path], folder: str | Path, collisions: bool = False
) -> dict[str, Any]:
    """Analyse checkpoints and write `analysis.json`, `codebooks.png` and `identifiers.png`.

    Args:
        paths: checkpoints; their names without suffix are those in the pictures.
        folder: is made if it does not exist.
        collisions: whether to train the tokenizers again, which adds `pretraining` (see
            `pretraining_collisions`) and `collisions.png`.

    Returns:
        the analyses by name of the checkpoint, as in the JSON (see `analyze_checkpoint`).

    Raises:
        InputError: for a checkpoint that cannot be analyzed, or two of the same name.
    """
    names = [Path(path).stem for path in paths]
    if len(set(names)) < len(names):
        raise InputError(f"the checkpoints should have different names, found {names}")
    figure_class()  # before any long work
    analyses = {name: analyze_checkpoint(path) for name, path in zip(names, paths, strict=True)}
    folder = Path(folder)
    check_writable("output", folder)
    if collisions:
        for name, path in zip(names, paths, strict=True):
            analyses[name]["pretraining"] = pretraining_collisions(path)
    with replacing(folder / "analysis.json") as temporary:
        Path(temporary).write_text(json.dumps(analyses, indent=1), encoding="utf-8")
    plot_codebooks(analyses, folder / "codebooks.png")
    changed = {name: a["identifiers"] for name, a in analyses.items() if "identifiers" in a}
    if changed:
        plot_identifiers(changed, folder / "identifiers.png")
    if collisions:
        plot_collisions(analyses, folder / "collisions.png")
    return analyses
