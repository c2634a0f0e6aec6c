"""What a user reads where a package of requirements.txt is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dualtask

BUNDLE = Path(dualtask.bundle_root())


def run_without(package: str, statement: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in which ``package`` cannot be imported."""
    code = f"import sys; sys.modules['{package}'] = None; sys.path.insert(0, {str(BUNDLE)!r}); {statement}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_package_that_is_missing_is_named_with_what_to_do():
    inference = str(BUNDLE / "configs" / "inference.json")
    done = run_without(
        "nrrd", f"from monai.bundle import run; run(config_file={inference!r}, datalist=['scan.nii.gz'])"
    )
    assert done.returncode != 0
    assert "needs the package 'nrrd', which is not installed: run pip install -r requirements.txt" in done.stderr


def test_a_part_is_imported_where_it_is_asked_for():
    assert run_without("nothing", "import dualtask; print(dualtask.units.__name__)").stdout.strip() == "dualtask.units"


def test_a_part_that_does_not_exist_is_none():
    with pytest.raises(AttributeError, match="has no attribute 'no_such_part'"):
        _ = dualtask.no_such_part
