"""What a server needs of its own: the product and a few synthetic scans."""

from __future__ import annotations

import shutil
from pathlib import Path

from dualtask.phantom.decathlon import write_decathlon
from dualtask.phantom.sites import SITES

_REPOSITORY = Path(__file__).resolve().parents[2]


def copied_repository(folder: Path) -> Path:
    """The app and the bundle side by side as in the repository, so that a server may write beside them."""
    made_by_use = shutil.ignore_patterns("__pycache__", "data", "eval", "model", "logs", "bin")
    shutil.copytree(_REPOSITORY / "bundle", folder / "bundle", ignore=made_by_use)
    app = shutil.copytree(_REPOSITORY / "apps" / "dualtask", folder / "apps" / "dualtask", ignore=made_by_use)
    for made_at_start in ("model", "logs", "bin"):
        # MONAI Label looks for them and makes them in two steps: of two servers that start at once, one would die.
        (app / made_at_start).mkdir()
    return folder


def synthetic_dataset(folder: Path) -> Path:
    """A small case of each of three sites, in the layout of the Medical Segmentation Decathlon."""
    write_decathlon(folder, [SITES[name] for name in ("metro", "valley", "coastal")], cases_per_site=1, matrix=64)
    return folder
