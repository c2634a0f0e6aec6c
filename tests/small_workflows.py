"""Small synthetic data and small networks, so that whole workflows run in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

from dualtask.phantom.decathlon import write_decathlon
from dualtask.phantom.sites import SITES

SMALL_GRID = {
    "spacing": [5.0, 5.0, 6.0],
    "hu_window": [-100, 240],
    "spatial_shape": [32, 24, 16],
    "localiser_factor": 2,
    "localiser_shape": [32, 24, 16],
    "mirrored_axes": [0],
}
"""The ``image_format`` of the metadata, so coarse that an epoch takes a second."""


def write_two_sites(folder: Path, cases_per_site: int) -> Path:
    """Synthetic cases of two sites on a coarse matrix."""
    write_decathlon(folder, [SITES["coastal"], SITES["valley"]], cases_per_site, seed=3, matrix=72)
    return folder


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory) -> Path:
    """Two cases of each site."""
    return write_two_sites(tmp_path_factory.mktemp("synthetic"), 2)


def build_workflow(bundle_root: Path, *configs: str, workflow_type: str = "train", **overrides: Any) -> ConfigWorkflow:
    """A workflow of the bundle's configs by MONAI's own class, initialised."""
    paths = [str(bundle_root / "configs" / name) for name in configs]
    built = ConfigWorkflow(paths, workflow_type=workflow_type, logging_file=False, **overrides)
    built.initialize()
    return built


@pytest.fixture
def workflow(bundle_root, tmp_path) -> Callable[..., ConfigWorkflow]:
    """Builds and initialises a workflow, see :func:`build_workflow`; its output goes to ``out`` below ``tmp_path``."""

    def build(*configs: str, **overrides: Any) -> ConfigWorkflow:
        return build_workflow(bundle_root, *configs, **{"output_dir": str(tmp_path / "out"), **overrides})

    return build
