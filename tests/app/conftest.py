"""What the tests of the app share. All scans made here are synthetic."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from battery import fixtures

REPOSITORY = Path(__file__).resolve().parents[2]
APP = REPOSITORY / "apps" / "dualtask"
sys.path.insert(0, str(APP))  # as MONAI Label does, so that `lib` is the app's


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the app reads, which a test sets."""
    now = [1.8e9]
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


@pytest.fixture(scope="session")
def app_dir() -> Path:
    return APP


@pytest.fixture(scope="session")
def bundle():
    from lib.bundle import find_bundle

    return find_bundle(str(APP), {})


@pytest.fixture(scope="session")
def copied_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app and the bundle side by side as in the repository, so that a server may write beside them."""
    return fixtures.copied_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="session")
def synthetic_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small case of each of three sites, in the layout of the Medical Segmentation Decathlon."""
    return fixtures.synthetic_dataset(tmp_path_factory.mktemp("synthetic"))
