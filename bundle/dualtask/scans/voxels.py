"""Checks of voxel values and of a label's agreement with its scan."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection

import numpy as np
import torch
from monai.data import MetaTensor

from dualtask.errors import InputError

GRID_TOLERANCE = 0.1
"""Share of a voxel's smallest side by which what is drawn on a scan may be off its grid; viewers round places."""


def check_ct_values(image: torch.Tensor, path: str) -> None:
    """Refuse voxels that cannot be Hounsfield units; only what is surely wrong is refused.

    Raises:
        InputError: NaN or infinite voxels, a constant image, an image scaled to [0, 1] or one without any voxel below
            0 HU, which fat and air always have.
    """
    # Both are NaN where any voxel is: no need to look at each on its own, which takes ten times as long.
    low, high = (float(value) for value in torch.aminmax(image))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{path} holds voxels that are not numbers (NaN or infinite): export it again or repair them.")
    if low == high:
        raise InputError(f"{path} has the value {low:g} everywhere: export the scan again.")
    if low >= 0 and high <= 1:
        raise InputError(f"{path} is scaled to [0, 1] and not in Hounsfield units: give the original CT.")
    if low >= 0:
        raise InputError(
            f"{path} has no voxel below 0 though fat and air lie there in Hounsfield units: give the original CT."
        )


def check_unknown(value: object, source: str) -> float:
    """The value in HU that stands for voxels that are not known, such as those beside a cropped export.

    Raises:
        InputError: it is no finite number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(
            f"{source} states {value!r} for unknown voxels: give the number that they hold, such as -1024."
        )
    return float(value)


def check_label(
    label: MetaTensor, image: MetaTensor, path: str, allowed: Collection[int], grid: str = "its scan"
) -> None:
    """Refuse a label map with unknown values or on another grid than its scan.

    Args:
        label, image: [1, X, Y, Z] with affine.
        path: of the label map.
        allowed: values that may occur.
        grid: what the second volume is to the reader of a refusal.

    Raises:
        InputError: names the stray values or the difference of the grids.
    """
    check_grid(label, image, path, grid)
    stray = [value for value in torch.unique(label.as_tensor()).tolist() if value not in allowed]
    if stray:
        shown = ", ".join(f"{value:g}" for value in stray[:5])
        known = ", ".join(str(value) for value in sorted(allowed))
        raise InputError(f"{path} holds the label values {shown}, known are {known}: map them to these values.")


def check_grid(volume: MetaTensor, other: MetaTensor, path: str, grid: str) -> None:
    """Refuse a volume whose voxels are not those of another.

    Args:
        volume, other: [1, X, Y, Z] with affine.
        path: of the first.
        grid: what the second is to the reader of a refusal.

    Raises:
        InputError: names the difference of the grids.
    """
    if volume.shape != other.shape:
        ours, theirs = (" x ".join(str(side) for side in each.shape[1:]) for each in (volume, other))
        raise InputError(f"{path} has {ours} voxels but {grid} has {theirs}: give both on the grid of one scan.")
    # The corners see a slightly different spacing or direction over the whole length of the scan.
    corners = np.array([(*c, 1) for c in itertools.product(*((0, side - 1) for side in other.shape[1:]))], dtype=float)
    apart = np.linalg.norm(corners @ (np.asarray(volume.affine) - np.asarray(other.affine)).T, axis=1).max()
    if apart > GRID_TOLERANCE * float(other.pixdim.min()):
        raise InputError(f"{path} lies elsewhere in space than {grid}: give both on the grid of one scan.")
