"""What tests of every room share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two threads that wait for each other on a busy machine are many times slower than one; processes started by tests
# inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real scans, kept beside the repository and never in it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real scans at {folder}: tests on them are left out")
    return folder


@pytest.fixture(scope="session")
def real_scans(shared_data) -> Path:
    """Real scans with readers' labels."""
    folder = shared_data / "real"
    if not folder.is_dir():
        pytest.skip(f"no real scans with labels at {folder}: tests on them are left out")
    return folder


@pytest.fixture(scope="session")
def bundle_root() -> Path:
    """The bundle in the repository."""
    return REPOSITORY / "bundle"
