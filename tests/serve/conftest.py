"""A TIGER and a SASRec, trained for a moment on the toy data."""

from pathlib import Path

import pytest

from recbole_genrec import Recommender
from tests.test_inference import train


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def recommender(checkpoint) -> Recommender:
    return Recommender.from_checkpoint(checkpoint, device="cpu")


@pytest.fixture(scope="session")
def baseline(tmp_path_factory) -> Recommender:
    small = {"train_neg_sample_args": None, "hidden_size": 8, "inner_size": 8, "n_layers": 1}
    folder = tmp_path_factory.mktemp("baseline")
    return Recommender.from_checkpoint(train(folder, "SASRec", **small), device="cpu")
