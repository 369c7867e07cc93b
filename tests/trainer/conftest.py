"""Every test of the trainer works in a folder of its own."""

import pytest

from tests.small import write_toy


@pytest.fixture(autouse=True)
def _work_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data_path(tmp_path):
    return write_toy(tmp_path)
