"""A checkpoint as a folder that other programs read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from shutil import copymode
from tempfile import TemporaryDirectory
from typing import cast

import torch

from recbole_genrec.errors import InputError, refuse
from recbole_genrec.export.card import model_card
from recbole_genrec.files import check_writable, written
from recbole_genrec.inference.restore import restore
from recbole_genrec.model.semantic_id_recommender import SemanticIDRecommender
from recbole_genrec.registry import get_model
from recbole_genrec.runs.checkpoint import load_checkpoint
from recbole_genrec.tokenizer.formats import write_codes


def export(checkpoint: str | Path, output: str | Path) -> Path:
    """Write a trained model with semantic IDs for programs that do not know this package.

    The folder has `semantic_ids.json` (raw item token -> codes), a model card `README.md`, and what
    the model itself has to give: TIGER and its like `config.json`, `generation_config.json` and
    `model.safetensors` for `transformers.T5ForConditionalGeneration`, those that score all items
    `item_vectors.safetensors`. Rows of items stand in the order of `semantic_ids.json`.

    Args:
        checkpoint: what training has saved.
        output: a folder that is new or empty; it is there as a whole or not at all.

    Returns:
        the folder.

    Raises:
        InputError: for a model that only this package can run, or a folder that is in use.
    """
    folder = Path(output).expanduser().resolve()
    try:
        in_use = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:  # such as a name that is too long
        raise InputError(f"output cannot be written to ({error.strerror})") from error
    if in_use:
        refuse("output", "a folder that is new or empty", output)
    check_writable("output", folder.parent)
    trained = load_checkpoint(checkpoint)
    name = str(trained["config"].get("model"))
    if not issubclass(get_model(name), SemanticIDRecommender):
        raise InputError(f"{checkpoint}: {name} cannot be exported: it has no semantic IDs")
    model = cast(SemanticIDRecommender, restore(checkpoint, "cpu"))
    with _whole(folder) as building, torch.no_grad():
        model.export(building)
        for set_name, codes in model.semantic_codes().items():
            file = "-".join(filter(None, ["semantic_ids", set_name]))
            write_codes(building / f"{file}.json", codes[1:], model.items.tokens[1:])
        card = model_card(trained, model, building)
        (building / "README.md").write_text(card, encoding="utf-8")
        for made in building.iterdir():  # transformers lets nobody else read its weights
            copymode(building / "README.md", made)
    getLogger().info(f"Exported {name} to {folder}")
    return folder


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Yields a folder that takes the place of this one once the block has succeeded."""
    with (
        written(folder),
        TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside,
    ):
        building = Path(beside) / folder.name
        building.mkdir()
        yield building
        os.replace(building, folder)
