"""Collaborative embeddings of the items: those of a sequential recommender, the teacher."""

from __future__ import annotations

from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from recbole.utils import init_seed
from torch import Tensor

from recbole_genrec.cache import CacheFolder, hash_file, hash_texts
from recbole_genrec.config import Config
from recbole_genrec.data.dataset import create_dataset
from recbole_genrec.data.loaders import data_preparation
from recbole_genrec.errors import InputError
from recbole_genrec.items.embedding_file import EmbeddingFile
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.items.items import Items
from recbole_genrec.items.needs import COLLABORATIVE
from recbole_genrec.model.hooks import class_hooks
from recbole_genrec.registry import build_model
from recbole_genrec.runs.checkpoint import check_same_data, load_checkpoint
from recbole_genrec.runs.fingerprint import data_files, run_fingerprint
from recbole_genrec.trainer.registry import get_trainer

PREFIX = "teacher_"
NOT_ITS_OWN = (
    "teacher_model",
    "teacher_config",
    "teacher_checkpoint",
    "teacher_embedding_file",
    "teacher_embedding_ids",
)
# settings that decide which items a data set has, and in which order
ITEM_SETTINGS = (
    "dataset",
    "ITEM_ID_FIELD",
    "benchmark_filename",
    "rm_dup_inter",
    "val_interval",
    "filter_inter_by_user_or_item",
    "user_inter_num_interval",
    "item_inter_num_interval",
)
WEIGHTS = "item_embedding.weight"  # where RecBole's sequential models keep them


class CollaborativeEmbeddings:
    """The embeddings "collaborative": those of the items in a sequential recommender, the teacher.

    They come from `teacher_embedding_file` if set, else from `teacher_checkpoint`, else from a
    `teacher_model` trained here, on the same data and split, with the settings that start with
    `teacher_`. A trained teacher is kept in `<checkpoint_dir>/teachers` for further runs; an
    interrupted training is continued.
    """

    given: ItemEmbeddings | None = None

    def check(self, config, dataset) -> None:
        _check_sources(config)
        if config["teacher_embedding_file"]:
            self.given = _from_file(config, dataset)
        elif config["teacher_checkpoint"]:
            path = Path(config["teacher_checkpoint"]).expanduser()
            self.given = _from_checkpoint(path, config, dataset)
            check_same_data(load_checkpoint(path), config, path)
        else:
            _check_model(config, dataset)

    def run(self, config, dataset, items: Items) -> None:
        embeddings = self.given
        if embeddings is None:
            embeddings = _from_checkpoint(_trained_teacher(config), config, dataset)
        items.embeddings[COLLABORATIVE] = embeddings


def _check_sources(config) -> None:
    """At most one source is given, with all that belongs to it."""
    checkpoint, file = config["teacher_checkpoint"], config["teacher_embedding_file"]
    ids = config["teacher_embedding_ids"]
    if checkpoint and file:
        raise InputError(
            "one of teacher_checkpoint and teacher_embedding_file should be set, found both "
            f"[{checkpoint}] and [{file}]: which one is the teacher?"
        )
    if ids and not file:
        raise InputError(
            f"teacher_embedding_ids [{ids}] should come with a teacher_embedding_file, found none"
        )
    if checkpoint and not Path(checkpoint).expanduser().is_file():
        raise InputError(f"teacher_checkpoint: there is no file {checkpoint}")


def _check_model(config, dataset) -> None:
    """A model with item embeddings can be built, and there is no need to train it to know so."""
    name = config["teacher_model"]
    try:
        settings = teacher_config(config, config["checkpoint_dir"])
        plain = not class_hooks(settings.model_class).needs(settings)
        with torch.random.fork_rng():
            weights = build_model(settings, dataset).state_dict() if plain else {}
    except InputError as error:
        raise InputError(f"teacher_model [{name}] with its settings: {error}") from error
    if WEIGHTS not in weights:
        raise InputError(
            f"teacher_model should be a model of RecBole with item embeddings, found [{name}]"
        )


def teacher_config(config, checkpoint_dir: str | Path) -> Config:
    """The configuration of the teacher: data and evaluation as in `config`, its own settings."""
    shared = [
        *config.parameters["Dataset"],
        *config.parameters["Evaluation"],
        *("gpu_id", "use_gpu", "seed", "reproducibility", "show_progress"),
    ]
    own = {
        key.removeprefix(PREFIX): value
        for key, value in config.final_config_dict.items()
        if key.startswith(PREFIX) and key not in NOT_ITS_OWN
    }
    metric, _, k = config["valid_metric"].partition("@")
    settings = {
        **{key: config[key] for key in shared if key in config},
        "history_attention": "bidirectional",  # whatever the student has: no other teacher
        # only what selects its epoch, so that other metrics of the student need no other teacher
        "metrics": [metric],
        **({"topk": [int(k)]} if k else {}),
        "metric_decimal_place": 6,
        **own,
        **(config["teacher_config"] or {}),
        "data_path": str(Path(config["data_path"]).parent),  # RecBole appends the data set's name
        "checkpoint_dir": str(checkpoint_dir),
    }
    return Config(config["teacher_model"], config["dataset"], config_dict=settings)


def train_teacher(config: Config) -> Path:
    """Train the teacher, or go on where an earlier attempt stopped; returns its best checkpoint."""
    init_seed(config["seed"], config["reproducibility"])
    train_data, valid_data, _ = data_preparation(config, create_dataset(config))
    model = build_model(config, train_data.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    trainer.resume("auto")
    _, result = trainer.fit(train_data, valid_data, show_progress=config["show_progress"])
    getLogger().info(f"Teacher {config['model']}: best valid {result}")
    if trainer.last_model_file is not None:
        Path(trainer.last_model_file).unlink(missing_ok=True)
    return Path(trainer.saved_model_file)


def _trained_teacher(config) -> Path:
    """The best checkpoint of the teacher, from the cache where it is there."""
    root = Path(config["checkpoint_dir"]) / "teachers"
    settings = teacher_config(config, root)
    identity = {"settings": run_fingerprint(settings), "files": data_files(settings)}
    cache = CacheFolder(root, f"{config['dataset']}-{settings['model']}", identity)

    def build(folder: Path) -> None:
        getLogger().info(f"Teacher {settings['model']}: training")
        train_teacher(teacher_config(config, folder)).rename(folder / "teacher.pth")

    cache.ensure(build, f"Teacher {settings['model']}")
    return cache.path / "teacher.pth"


def _from_checkpoint(path: Path, config, dataset) -> ItemEmbeddings:
    """Those of a model that was trained on the same items."""
    checkpoint = load_checkpoint(path)
    found: dict[str, Any] = checkpoint["config"]
    for key in ITEM_SETTINGS:
        if found.get(key) != config[key]:
            raise InputError(
                f"teacher_checkpoint [{path}]: {key} should be [{config[key]}] as in this run, "
                f"so that the items are the same, found [{found.get(key)}]"
            )
    weights = checkpoint["state_dict"].get(WEIGHTS)
    n_items = len(dataset.item_tokens)
    masks = int(found["model"] == "BERT4Rec")  # rows after those of the items
    if weights is None or weights.dim() != 2 or len(weights) != n_items + masks:
        shape = None if weights is None else list(weights.shape)
        raise InputError(
            f"teacher_checkpoint [{path}] of {found['model']}: expected {WEIGHTS} with a row for "
            f"each of {n_items} items, found {shape}"
        )
    for key in ("split", "group_by", "order"):
        seen, expected = found["eval_args"].get(key), config["eval_args"].get(key)
        if seen != expected:
            raise InputError(
                f"teacher_checkpoint [{path}]: {key} of eval_args should be [{expected}] as in "
                f"this run, so that the teacher has not seen its test, found [{seen}]"
            )
    return _embeddings(weights[1:n_items].float(), dataset, found["model"], [path])


def _from_file(config, dataset) -> ItemEmbeddings:
    keys = ("teacher_embedding_file", "teacher_embedding_ids")
    file = EmbeddingFile(config[keys[0]], config[keys[1]], dataset.item_tokens[1:], keys)
    rows = torch.from_numpy(file.rows(0, len(file)))
    return _embeddings(rows, dataset, file.path.stem, file.files)


def _embeddings(rows: Tensor, dataset, source: str, files: list[Path]) -> ItemEmbeddings:
    """Embeddings `[n, d]` of all items but the padding item, which come from these files."""
    vectors = torch.nn.functional.pad(rows, (0, 0, 1, 0))
    fingerprint = hash_texts([*map(hash_file, files), *dataset.item_tokens])
    return ItemEmbeddings(vectors, ItemEncoder(), source, fingerprint)
