"""Which voxels of a scan show anything: cropped exports and slabs are padded with a value that means "not known"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.data import MetaTensor

from dualtask.scans.reading import read_volume
from dualtask.scans.voxels import check_grid, check_unknown


def read_known(case: Mapping[str, Any], reference: MetaTensor) -> torch.Tensor | None:
    """Which voxels of the scan of a case are known.

    Args:
        case: with the path ``image`` and, where some voxels are not known, their value ``unknown`` in HU.
        reference: [1, X, Y, Z] with affine, on the grid that the scan must have.

    Returns:
        bool [1, X, Y, Z], or None where the case names no such value and all voxels are known.

    Raises:
        InputError: the value is no number, or the scan is refused or lies on another grid.
    """
    value = case.get("unknown")
    if value is None:
        return None
    value = check_unknown(value, str(case["image"]))
    scan = read_volume(case["image"])
    check_grid(scan, reference, str(case["image"]), f"the label {case['label']}")
    return scan.as_tensor() != value


def cut(label_map: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
    """The label map with background where nothing is known.

    Args:
        label_map: integer [1, X, Y, Z].
        known: bool [1, X, Y, Z], or None where all voxels are known.
    """
    return label_map if known is None else label_map * known
