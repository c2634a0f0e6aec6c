"""What the tests of the bundle share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from small_workflows import small_dataset, workflow

__all__ = ["bundle_command", "small_dataset", "workflow"]


@pytest.fixture
def bundle_command(bundle_root) -> Callable[..., subprocess.CompletedProcess]:
    """Runs one of MONAI's tools beside the bundle's package, as the Model Zoo's checks do."""

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "monai.bundle", *arguments],
            cwd=bundle_root,
            env={"PATH": "", "PYTHONPATH": str(bundle_root), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
