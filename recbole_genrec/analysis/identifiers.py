"""What codebooks look like, and what joint training does to them and to the identifiers.

For every model whose tokenizers have codebooks; Figures 3, 5 and 6 of UniGRec.

Reference: UniGRec (arXiv 2601.17438), Section 4.4.1 and 4.5.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from recbole_genrec.errors import InputError
from recbole_genrec.files import check_writable, replacing
from recbole_genrec.model.soft_identifiers import change_rate
from recbole_genrec.report.figures import (
    figure_class,
    plot_codebooks,
    plot_collisions,
    plot_identifiers,
)
from recbole_genrec.runs.checkpoint import load_checkpoint
from recbole_genrec.tokenizer.prefixes import collision_rate, usage_entropy
from recbole_genrec.tokenizer.registry import create_tokenizer
from recbole_genrec.tokenizer.rqvae import RQVAE

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


class _CollisionCurve:
    """Stands in for the `loss` of a tokenizer, and counts collisions of its codes meanwhile."""

    def __init__(self, tokenizer: RQVAE, embeddings: Tensor) -> None:
        self.tokenizer, self.embeddings, self.loss = tokenizer, embeddings, tokenizer.loss
        self.points: list[dict[str, float]] = []

    def note(self, progress: float) -> None:
        rate = collision_rate(self.tokenizer.encode(self.embeddings))
        self.points.append({"progress": progress, "collision_rate": rate})

    def __call__(self, embeddings: Tensor, progress: float, **side: Tensor) -> Tensor:
        loss = self.loss(embeddings, progress, **side)  # sets the temperature, if there is one
        if progress >= len(self.points) / POINTS:
            self.note(progress)
        return loss


def pretraining_collisions(path: str | Path) -> list[dict[str, float]]:
    """Collision rate over the tokenizer's own stage (Figure 3), by training it once more.

    Args:
        path: a checkpoint of a model that is trained together with its tokenizer, which has the
            settings and the item embeddings.

    Returns:
        `progress`, the share of all steps, and `collision_rate` of each point and of the end.

    Raises:
        InputError: for a checkpoint without item embeddings, or of a tokenizer without epochs.
    """
    checkpoint = load_checkpoint(path)
    embeddings = checkpoint["state_dict"].get("item_embeddings")
    if embeddings is None:
        raise InputError(f"[{path}] has no item embeddings: expected a jointly trained model")
    settings = checkpoint["extra"]["items"]["tokenizers"][""]["settings"]
    tokenizer = create_tokenizer(settings, embeddings.shape[1])
    if not isinstance(tokenizer, RQVAE):
        raise InputError(
            f"[{path}] has a {type(tokenizer).__name__}, which is not trained by steps"
        )
    tokenizer.to("cuda" if torch.cuda.is_available() else "cpu")
    curve = _CollisionCurve(tokenizer, embeddings[1:])
    tokenizer.loss = curve  # type: ignore[method-assign]
    tokenizer.fit(embeddings[1:])
    curve.note(1.0)
    return curve.points


def analyze_checkpoint(path: str | Path) -> dict[str, Any]:
    """The analyses of one checkpoint of a model whose tokenizers have codebooks.

    Returns:
        `codebooks` (see `codebook_analysis`) by the name of the set of semantic IDs, that of the
        main one empty; of models that are trained together with their tokenizer also `identifiers`
        (see `identifier_changes`, from the tokenizer stage to the checkpoint) and
        `joint_training`, the collision and change rates of each epoch.

    Raises:
        InputError: if the checkpoint has no codebooks.
    """
    checkpoint = load_checkpoint(path)
    extra = checkpoint.get("extra") or {}
    tokenizers = extra["items"]["tokenizers"] if "items" in extra else {}
    books = {name: _codebooks(tokenizer["state"]) for name, tokenizer in tokenizers.items()}
    books = {name: codebooks for name, codebooks in books.items() if codebooks}
    if not books:
        raise InputError(f"[{path}] has no codebooks: expected a model with a trained tokenizer")
    codes = {name: extra["items"]["ids"][name]["codes"][1:] for name in books}
    analysis: dict[str, Any] = {
        "codebooks": {name: codebook_analysis(books[name], codes[name]) for name in books}
    }
    pretrained = checkpoint["state_dict"].get("pretrained_codes")
    if pretrained is not None:
        levels = len(books[""])  # without the dedicated token
        analysis["identifiers"] = identifier_changes(pretrained[1:, :levels], codes[""][:, :levels])
        analysis["joint_training"] = extra["identifier_history"]
    return analysis


def _codebooks(weights: Mapping[str, Tensor]) -> list[Tensor]:
    """The codebooks among the weights of a tokenizer, level by level."""
    levels = [int(name.split(".")[1]) for name in weights if name.startswith("codebooks.")]
    return [weights[f"codebooks.{level}"] for level in sorted(levels)]


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
