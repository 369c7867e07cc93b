"""What all tests share: a quiet, deterministic torch and the optional real data."""

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent
# Benchmark data that is not in the repository: what needs it is skipped where it is absent.
REAL_DATA = Path(os.environ.get("RECBOLE_GENREC_DATA", REPOSITORY.parent / "shared" / "data"))

# Machines that test are busy: how long an example takes says nothing.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure() -> None:
    """Let Ctrl-C be tested also where the tests run in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def real_data() -> Path:
    """The folder of the real benchmark data; the test is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no benchmark data at {REAL_DATA}: set RECBOLE_GENREC_DATA to their folder")
    return REAL_DATA
