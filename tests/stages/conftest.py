"""A small catalogue on disk, and what counts the work done on it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole_genrec.config.layers import properties
from recbole_genrec.items import texts as item_texts
from recbole_genrec.items.needs import Tokens
from recbole_genrec.items.text_encoder import TfidfEncoder
from recbole_genrec.stages.plan import run_stages
from recbole_genrec.tokenizer.rqkmeans import RQKMeans

NUM_ITEMS = 40
COLORS, THINGS = ["red", "blue", "green", "black"], ["comb", "soap", "nail polish", "cream"]


class Settings(dict):
    """A configuration that, like RecBole's, knows None for every other key."""

    def __missing__(self, key):
        return None


class Toy:
    """A catalogue with a few equal texts."""

    def __init__(self, folder):
        self.folder = folder
        self.tokens = [f"i{number}" for number in range(1, NUM_ITEMS + 1)]
        self.dataset = SimpleNamespace(item_tokens=["[PAD]", *self.tokens])
        rng = np.random.default_rng(0)
        self.texts = [f"{rng.choice(COLORS)} {rng.choice(THINGS)}" for _ in self.tokens]
        rows = zip(self.tokens, self.texts, strict=True)
        lines = "".join(f"{token}\t{text}\n" for token, text in rows)
        (folder / "toy.item").write_text("item_id:token\ttitle:token_seq\n" + lines)

    def settings(self, **changes):
        name = changes.get("tokenizer", "RQKMeans")
        values = properties("items", "tokenizer/common", f"tokenizer/{name}") | {
            "data_path": str(self.folder),
            "dataset": "toy",
            "field_separator": "\t",
            "seq_separator": " ",
            "ITEM_ID_FIELD": "item_id",
            "item_text_fields": ["title"],
            "checkpoint_dir": str(self.folder / "saved"),
            "device": torch.device("cpu"),
            "seed": 1,
            "tokenizer": name,
            "codebook_sizes": [4, 4],
        }
        return Settings(values | changes)

    def run(self, *needs, **changes):
        """The items after the stages; of one set of IDs where no needs are given."""
        return run_stages(self.settings(**changes), self.dataset, needs or [Tokens()])

    def write_embeddings(self, dim=6, file="items.npz", seed=1):
        """Embeddings of all items in shuffled order; returns their path, and them."""
        rng = np.random.default_rng(seed)
        vectors = rng.normal(size=(NUM_ITEMS, dim)).astype(np.float32)
        order = rng.permutation(NUM_ITEMS)
        ids = [self.tokens[item] for item in order]
        np.savez(self.folder / file, ids=ids, embeddings=vectors[order])
        return str(self.folder / file), vectors

    def folders(self):
        """Names of the results in the cache, without their fingerprints."""
        root = self.folder / "saved" / "semantic_ids"
        return sorted(path.name.rpartition("-")[0] for path in root.iterdir() if path.is_dir())


@pytest.fixture
def toy(tmp_path):
    return Toy(tmp_path)


@pytest.fixture
def fits(monkeypatch):
    """Which classes were fitted, in order."""
    calls = []
    for cls in (TfidfEncoder, RQKMeans):

        def counted(self, *args, cls=cls, original=cls.fit, **side):
            calls.append(cls.__name__)
            return original(self, *args, **side)

        monkeypatch.setattr(cls, "fit", counted)
    return calls


@pytest.fixture
def parses(monkeypatch):
    """Which atomic files were parsed for texts, in order."""
    calls, read = [], item_texts.read_atomic_file

    def counted(path, *args, **kwargs):
        calls.append(path.name)
        return read(path, *args, **kwargs)

    monkeypatch.setattr(item_texts, "read_atomic_file", counted)
    return calls
