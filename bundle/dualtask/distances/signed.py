"""Exact signed distance of a binary mask: the target of the regression head."""

from __future__ import annotations

from collections.abc import Sequence

import edt
import numpy as np
from scipy import ndimage


def signed_distance(mask: np.ndarray, spacing: Sequence[float], truncation: float) -> np.ndarray:
    """Signed distance from each voxel centre to the surface of a mask, truncated.

    The surface runs along the faces between voxels, half a voxel from the centres on either side, so that
    ``signed_distance(~mask) == -signed_distance(mask)``. The distance transform measures from centre to centre and is
    corrected by half a voxel along the direction of the nearest surface. The border of the array is not a surface: an
    organ that leaves the crop goes on outside it. A mask without a surface is far away everywhere
    (+truncation when it is empty, -truncation when it is full).

    Args:
        mask: [X, Y, Z], boolean or 0/1.
        spacing: voxel sides in mm.
        truncation: T in mm; distances beyond it are cut to +-T. Method: arXiv 2505.01644, section on the signed
            distance head; unlike the paper, distances are in mm and not divided by their own maximum, so that a voxel's
            target does not depend on the margin of the crop.

    Returns:
        float32 [X, Y, Z] in mm, negative inside, in [-truncation, truncation].
    """
    mask = np.ascontiguousarray(mask, dtype=bool)
    if not mask.any() or mask.all():
        return np.full(mask.shape, -truncation if mask.any() else truncation, dtype=np.float32)
    window = _surface_window(mask, spacing, truncation)
    outside_window = np.where(mask, -truncation, truncation).astype(np.float32)
    outside_window[window] = np.clip(_surface_distance(mask[window], spacing), -truncation, truncation)
    return outside_window


def _surface_window(mask: np.ndarray, spacing: Sequence[float], truncation: float) -> tuple[slice, ...]:
    """The mask's box enlarged by the truncation distance: every voxel outside it is truncated anyway.

    Two voxels are added: the surface lies half a voxel nearer than the nearest centre, and the gradient looks one
    voxel further.
    """
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    margins = [int(np.ceil(truncation / side)) + 2 for side in spacing]
    return tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in zip(box, margins, strict=True))


def _surface_distance(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    # Two labels in one pass: the distance of each voxel to the nearest one of the other kind.
    unsigned = edt.edt(mask + np.uint8(1), anisotropy=tuple(spacing))
    centre_distance = np.where(mask, -unsigned, unsigned)
    if mask.all():
        return centre_distance
    gradient = [
        np.gradient(centre_distance, side, axis=axis) if size > 1 else np.zeros_like(centre_distance)
        for axis, (side, size) in enumerate(zip(spacing, mask.shape, strict=True))
    ]
    squared = [component**2 for component in gradient]
    norm = np.maximum(sum(squared), 1e-6)
    half_voxel = 0.5 * sum(square * side for square, side in zip(squared, spacing, strict=True)) / norm
    # On a medial axis the gradient vanishes and no direction is known: fall back to the smallest side.
    half_voxel = np.maximum(half_voxel, 0.5 * min(spacing))
    return centre_distance - np.sign(centre_distance) * half_voxel
