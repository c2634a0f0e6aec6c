"""How far an estimated distance is from the true one, near a structure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from dualtask.distances import signed_distance


def band_error_mm(
    estimate: torch.Tensor,
    reference: torch.Tensor,
    spacing: Sequence[float],
    truncation: float,
    known: torch.Tensor | None = None,
) -> float:
    """Mean absolute error of a signed distance in the band around a structure's surface, in mm.

    The band is where the true distance is not cut, as in training's ``band_error_mm``
    (:class:`dualtask.handlers.HeadDiagnostics`), on the voxels of the scan and through the whole chain.

    Args:
        estimate: [X, Y, Z] in mm, negative inside.
        reference: bool [X, Y, Z], mask of the structure.
        spacing: voxel sides in mm.
        truncation: truncation distance of the structure in mm.
        known: bool [X, Y, Z], the voxels that count; None counts all.

    Returns:
        mm, NaN where there is no such structure.
    """
    true = torch.as_tensor(signed_distance(reference.numpy(), spacing, truncation))
    band = true.abs() < truncation
    if known is not None:
        band &= known
    return float((estimate - true).abs()[band].mean()) if band.any() else math.nan
