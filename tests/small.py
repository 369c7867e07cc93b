"""Small data sets in RecBole's format and whole runs on them, for the tests of the RecBole side."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from recbole.data.dataset import SequentialDataset
from recbole.utils import init_seed

from recbole_genrec.config import Config
from recbole_genrec.quick_start import prepare_data
from recbole_genrec.registry import get_model
from recbole_genrec.trainer.registry import get_trainer

NAME = "toy"
LOAD_ALL = {
    "inter": ["user_id", "item_id", "rating", "timestamp"],
    "item": ["item_id", "title", "brand", "price", "vector"],
    "user": ["user_id", "age"],
}
SMALL_T5 = {
    "d_model": 16,
    "d_ff": 16,
    "num_heads": 2,
    "d_kv": 8,
    "num_layers": 1,
    "num_decoder_layers": 1,
}


class RecBoleSequentialDataset(SequentialDataset):
    """RecBole's own, without in-place changes that pandas 3 ignores; for data without gaps."""

    def _fill_nan(self) -> None:
        pass


def write_table(path: Path, header: list[str], rows: list[tuple]) -> None:
    """One atomic file; None is an empty cell."""
    lines = ["\t".join("" if cell is None else str(cell) for cell in row) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["\t".join(header), *lines]) + "\n", encoding="utf-8")


def write_toy(folder: Path, users: int = 30, items: int = 40, missing: bool = True) -> Path:
    """A data set of shuffled interactions, with features that lack cells if `missing`.

    Returns:
        the `data_path` to give.
    """
    rng = np.random.default_rng(0)
    inter = []
    for user in range(users):
        length = int(rng.integers(4, 12))
        start = int(rng.integers(items))
        for place in range(length):
            item = (start + place * (1 + user % 2)) % items
            inter.append((f"u{user}", f"i{item}", int(rng.integers(1, 6)), 1000 * place + user))
    rng.shuffle(inter)
    item_rows, user_rows = [], []
    for item in range(items):
        lacks = missing and item % 5 == 0
        title = None if lacks else f"word{item % 7} word{item % 3} tail"
        brand = None if lacks else f"brand{item % 4}"
        price = None if lacks else round(1.5 * (item + 1), 2)
        vector = None if lacks else " ".join(str(0.1 * n) for n in range(1 + item % 3))
        item_rows.append((f"i{item}", title, brand, price, vector))
    for user in range(users):
        user_rows.append((f"u{user}", None if missing and user % 4 == 0 else f"a{user % 3}"))
    base = folder / NAME / NAME
    types = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    write_table(base.with_suffix(".inter"), types, inter)
    types = ["item_id:token", "title:token_seq", "brand:token", "price:float", "vector:float_seq"]
    write_table(base.with_suffix(".item"), types, item_rows)
    write_table(base.with_suffix(".user"), ["user_id:token", "age:token"], user_rows)
    return folder


def toy_config(model: str | type, data_path: Path, **settings: Any) -> Config:
    """A configuration that trains for one short epoch and leaves all files beside the data."""
    defaults = {
        "data_path": str(data_path),
        "checkpoint_dir": str(data_path / "saved"),
        "load_col": {"inter": LOAD_ALL["inter"]},
        "MAX_ITEM_LIST_LENGTH": 6,
        "epochs": 1,
        "train_batch_size": 64,
        "eval_batch_size": 4096,
        "topk": [3, 5],
        "valid_metric": "NDCG@5",
        "seed": 7,
    }
    return Config(model, NAME, config_dict={**defaults, **settings})


def prepare(config: Config) -> SimpleNamespace:
    """Everything up to training, as the runner does it."""
    init_seed(config["seed"], config["reproducibility"])
    train, valid, test = prepare_data(config)
    return SimpleNamespace(config=config, train=train, valid=valid, test=test)


def new_trainer(run: SimpleNamespace):
    """A fresh model with its trainer, on prepared data."""
    config = run.config
    init_seed(config["seed"], config["reproducibility"])
    model = get_model(config["model"])(config, run.train._dataset).to(config["device"])
    return get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
