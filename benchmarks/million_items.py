"""Evaluate TIGER over a synthetic catalogue and print time and peak memory.

    python -m benchmarks.million_items --items 1000000

The whole way of a run: atomic files, imported semantic IDs, data loaders, exact beam search over
all items, RecBole's metrics. The model is untrained; only cost is measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from recbole_genrec.config import Config
from recbole_genrec.quick_start import prepare_data
from recbole_genrec.registry import get_model
from recbole_genrec.trainer.registry import get_trainer

LEVELS, CODES = 4, 256


def write_catalogue(folder: Path, n_items: int, n_users: int) -> None:
    """Every item occurs once, in the history of a random user; random unique semantic IDs."""
    (folder / "synthetic").mkdir()
    rng = np.random.default_rng(0)
    users = rng.permutation(n_items) % n_users
    with open(folder / "synthetic" / "synthetic.inter", "w") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        file.writelines(f"u{user}\ti{item}\t{item}\n" for item, user in enumerate(users))
    numbers = rng.choice(CODES**LEVELS, n_items, replace=False)
    codes = np.stack([numbers // CODES**level % CODES for level in range(LEVELS)], axis=1)
    ids = {f"i{item}": row for item, row in enumerate(codes.tolist())}
    (folder / "ids.json").write_text(json.dumps(ids))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=2_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_catalogue(Path(folder), arguments.items, arguments.users)
        settings = {
            "data_path": folder,
            "checkpoint_dir": f"{folder}/saved",
            "sid_file": f"{folder}/ids.json",
            "MAX_ITEM_LIST_LENGTH": 20,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        }
        config = Config("TIGER", "synthetic", config_dict=settings)
        train_data, _, test_data = prepare_data(config)
        model = get_model("TIGER")(config, train_data.dataset).to(config["device"])
        trainer = get_trainer(config["MODEL_TYPE"], "TIGER")(config, model)
        trainer.eval_collector.data_collect(train_data)
        start = time.perf_counter()
        trainer.evaluate(test_data, load_best_model=False)
        seconds = time.perf_counter() - start
        users = len(test_data.dataset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{arguments.items:,} items, {users:,} users, beam {config['beam_size']}")
    print(f"evaluation: {seconds:.1f} s, {users / seconds:.0f} users/s")
    print(f"peak memory of the whole run: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
