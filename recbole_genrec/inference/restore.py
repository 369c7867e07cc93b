"""A model from its checkpoint, ready to answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from recbole.utils import ModelType

from recbole_genrec.config.layers import run_files, tokenizer_defaults
from recbole_genrec.config.yaml_files import read_properties
from recbole_genrec.errors import InputError
from recbole_genrec.inference.scoring import ScoringModel
from recbole_genrec.items.items import Items
from recbole_genrec.items.texts import read_items
from recbole_genrec.model.semantic_id_recommender import SemanticIDRecommender
from recbole_genrec.quick_start import load_data_and_model
from recbole_genrec.registry import get_model
from recbole_genrec.runs.checkpoint import check_finite, load_checkpoint, load_weights
from recbole_genrec.runs.checkpoint_items import items_of
from recbole_genrec.stages.catalogue import Catalogue


def restore(
    path: str | Path, device: str | torch.device | None = None
) -> SemanticIDRecommender | ScoringModel:
    """The sequential model of a checkpoint, with its items.

    Models with semantic IDs need nothing but the checkpoint. All others need the data set that they
    were trained on, where it lay then: RecBole's checkpoints hold no items.

    Args:
        path: what training has saved.
        device: defaults to a GPU if there is one.

    Raises:
        InputError: if the file is no sound checkpoint of a sequential model, or data are not there.
    """
    checkpoint = load_checkpoint(path)
    check_finite(checkpoint, path)
    config = checkpoint["config"]
    if not isinstance(config, dict) or not isinstance(config.get("model"), str):
        raise InputError(f"{path}: the checkpoint's config lacks [model]")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model_class = get_model(config["model"])
    if issubclass(model_class, SemanticIDRecommender):
        return _with_its_items(model_class, checkpoint, path, device)
    return _with_its_data(path, device)


def _with_its_items(
    model_class: type[SemanticIDRecommender],
    checkpoint: dict[str, Any],
    path: str | Path,
    device: torch.device,
) -> SemanticIDRecommender:
    state = items_of(checkpoint, path)
    for tokenizer in state["tokenizers"].values():
        given = tokenizer["settings"]
        tokenizer["settings"] = {**tokenizer_defaults(given["tokenizer"]), **given}
    items = Items.from_state(state, device)
    settings = {**_defaults(model_class, checkpoint["config"]), **checkpoint["config"]}
    model = model_class({**settings, "device": device}, Catalogue(items))
    load_weights(model, {"state_dict": checkpoint["state_dict"]}, path)
    return model.to(device).eval()


def _defaults(model_class: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Today's settings of such a run: those that are newer than the checkpoint count."""
    files = run_files(model_class, str(settings.get("dataset")), settings)
    return {key: value for file in files for key, value in read_properties(file).items()}


def _with_its_data(path: str | Path, device: torch.device) -> ScoringModel:
    config, model, dataset, *_ = load_data_and_model(path, device)
    if config["MODEL_TYPE"] != ModelType.SEQUENTIAL:
        raise InputError(
            f"{path} is a checkpoint of {config['model']}, which reads no histories: expected "
            "a sequential model"
        )
    tokens = [str(token) for token in dataset.field2id_token[dataset.iid_field]]
    try:
        titles = read_items(config, tokens).titles
    except InputError:  # without a file or a field of texts
        titles = None
    return ScoringModel(model, Items(tokens, titles))
