"""Overlap, surface distance and volume of the nested structures of two label maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from monai.transforms.utils import generate_spatial_bounding_box

from dualtask.structures import STRUCTURES, structure_masks

METRICS = (
    "dice",
    "recall",
    "precision",
    "surface_dice",
    "hausdorff95_mm",
    "reference_ml",
    "prediction_ml",
    "relative_volume_error",
)
"""Names of the scores of one structure, in the order of the tables."""

SURFACE_TOLERANCE_MM = 2.0
"""Distance up to which a surface counts as found, unless another is asked for."""

_MM3_PER_ML = 1000.0


def score_label_maps(
    reference: torch.Tensor,
    prediction: torch.Tensor,
    spacing: Sequence[float],
    tolerance_mm: float = SURFACE_TOLERANCE_MM,
) -> dict[str, dict[str, float]]:
    """Score a predicted label map against the reference, structure by structure.

    - ``dice``, ``recall``, ``precision``: of voxels;
    - ``surface_dice``: normalised surface Dice, the share of both surfaces' area within the tolerance of the other
      surface (Nikolov et al., arXiv 1809.04430), elements of area as in MONAI's ``use_subvoxels``;
    - ``hausdorff95_mm``: the larger of the two directed 95th percentiles of the distances between border voxels;
    - ``reference_ml``, ``prediction_ml``: volumes; ``relative_volume_error``: (prediction - reference) / reference.

    A structure that is absent from both maps has volumes of 0 and otherwise NaN, so that no mean counts it. One that is
    absent from one of the maps has ``dice`` and ``surface_dice`` 0 and ``hausdorff95_mm`` NaN. What would divide by an
    empty mask is NaN: ``recall`` and ``relative_volume_error`` without a reference, ``precision`` without a prediction.

    Args:
        reference: integer label map [1, X, Y, Z], values 0 background, 1 pancreas, 2 lesion.
        prediction: integer label map on the same grid.
        spacing: voxel spacing along x, y, z in mm.
        tolerance_mm: distance up to which a surface counts as found.

    Returns:
        for each of ``STRUCTURES`` a number for each of ``METRICS``.
    """
    reference_masks, prediction_masks = structure_masks(reference), structure_masks(prediction)
    return {
        name: _score_masks(reference_masks[channel].bool(), prediction_masks[channel].bool(), spacing, tolerance_mm)
        for channel, name in enumerate(STRUCTURES)
    }


def _score_masks(
    reference: torch.Tensor, prediction: torch.Tensor, spacing: Sequence[float], tolerance_mm: float
) -> dict[str, float]:
    """Scores of one structure's masks, bool [X, Y, Z]."""
    reference_voxels, prediction_voxels = int(reference.sum()), int(prediction.sum())
    shared_voxels = int((reference & prediction).sum())
    voxel_ml = math.prod(spacing) / _MM3_PER_ML
    scores = dict.fromkeys(METRICS, math.nan)
    scores["reference_ml"] = reference_voxels * voxel_ml
    scores["prediction_ml"] = prediction_voxels * voxel_ml
    if reference_voxels:
        scores["recall"] = shared_voxels / reference_voxels
        scores["relative_volume_error"] = (prediction_voxels - reference_voxels) / reference_voxels
    if prediction_voxels:
        scores["precision"] = shared_voxels / prediction_voxels
    if reference_voxels and prediction_voxels:
        y, y_pred = _crop_to_union(reference, prediction)
        spacing = tuple(spacing)
        scores["dice"] = compute_dice(y_pred, y).item()
        scores["surface_dice"] = compute_surface_dice(
            y_pred, y, [tolerance_mm], include_background=True, spacing=spacing, use_subvoxels=True
        ).item()
        scores["hausdorff95_mm"] = compute_hausdorff_distance(
            y_pred, y, include_background=True, percentile=95, spacing=spacing
        ).item()
    elif reference_voxels or prediction_voxels:
        scores["dice"] = scores["surface_dice"] = 0.0
    return scores


def _crop_to_union(*masks: torch.Tensor) -> list[torch.Tensor]:
    """Crop masks [X, Y, Z] to the box of their union and return them as float32 [1, 1, x, y, z].

    The margin of one voxel, of zeros where the box meets the edge of the scan, gives every mask a closed surface.
    """
    union = torch.stack(masks).any(dim=0)
    start, end = generate_spatial_bounding_box(union[None])
    box = tuple(slice(low, high) for low, high in zip(start, end, strict=True))
    return [torch.nn.functional.pad(mask[box].float(), (1,) * 6)[None, None] for mask in masks]
