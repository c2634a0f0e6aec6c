"""Scores of the nested structures of two label maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from dualtask.evaluation.boxes import box_of_union
from dualtask.evaluation.calibration import MARGIN_MM, calibration_error
from dualtask.evaluation.detection import DETECTION, detect_components
from dualtask.evaluation.known import cut
from dualtask.evaluation.separation import separation_auc
from dualtask.structures import STRUCTURES, structure_masks
from dualtask.units import MM3_PER_ML

METRICS = (
    "dice",
    "recall",
    "precision",
    "surface_dice",
    "hausdorff95_mm",
    "reference_ml",
    "prediction_ml",
    "relative_volume_error",
    *DETECTION,
    "calibration_error",
    "lesion_auc",
)
"""Names of the scores of one structure, in the order of the tables."""

SURFACE_TOLERANCE_MM = 2.0
"""Distance up to which a surface counts as found in ``surface_dice``."""

TOLERANCES_MM = (1.0, 2.0, 5.0)
"""Tolerances of the surface Dice that are reported, unless others are asked for."""


def surface_dice_names(tolerances_mm: Sequence[float]) -> dict[str, float]:
    """Name -> tolerance in mm of each surface Dice: ``surface_dice``, and ``surface_dice_1mm`` and so on."""
    further = {f"surface_dice_{mm:g}mm": mm for mm in sorted(set(tolerances_mm) - {SURFACE_TOLERANCE_MM})}
    return {"surface_dice": SURFACE_TOLERANCE_MM, **further}


def score_label_maps(
    reference: torch.Tensor,
    prediction: torch.Tensor,
    spacing: Sequence[float],
    tolerances_mm: Sequence[float] = TOLERANCES_MM,
    probabilities: torch.Tensor | None = None,
    known: torch.Tensor | None = None,
) -> dict[str, dict[str, float]]:
    """Score a predicted label map against the reference, structure by structure.

    - ``dice``, ``recall``, ``precision``: of voxels;
    - ``surface_dice`` at 2 mm and ``surface_dice_<t>mm``: normalised surface Dice, the share of both surfaces' area
      within the tolerance of the other surface (Nikolov et al., arXiv 1809.04430), elements of area as in MONAI's
      ``use_subvoxels``;
    - ``hausdorff95_mm``: the larger of the two directed 95th percentiles of the distances between border voxels;
    - ``reference_ml``, ``prediction_ml``: volumes; ``relative_volume_error``: (prediction - reference) / reference;
    - ``reference_components``, ``detected_components``, ``false_positive_components``: see :func:`detect_components`;
    - ``calibration_error``: see :func:`calibration_error`, over the box of both masks grown by 10 mm;
    - ``lesion_auc``: see :func:`separation_auc`, of the lesion's probability, between the lesion and the rest of the
      organ in the reference; a score of the lesion, NaN for the pancreas and where the reference has no lesion.

    Voxels that are not known are left out: both masks end where they begin, with the same surface where both go on.

    A structure that is absent from both maps has volumes and counts of 0 and otherwise NaN, so that no mean counts it.
    One that is absent from one of the maps has ``dice`` and surface Dice 0 and ``hausdorff95_mm`` NaN. What would
    divide by an empty mask is NaN: ``recall`` and ``relative_volume_error`` without a reference, ``precision`` without
    a prediction.

    Args:
        reference: integer label map [1, X, Y, Z], values 0 background, 1 pancreas, 2 lesion.
        prediction: integer label map on the same grid.
        spacing: voxel spacing along x, y, z in mm.
        tolerances_mm: of the further surface Dice.
        probabilities: [2, X, Y, Z] on the same grid, one channel for each of ``STRUCTURES``; without them
            ``calibration_error`` and ``lesion_auc`` are NaN.
        known: bool [1, X, Y, Z] on the same grid, the voxels that count; None counts all.

    Returns:
        for each of ``STRUCTURES`` a number for each of ``METRICS`` and of ``surface_dice_names(tolerances_mm)``.
    """
    names = surface_dice_names(tolerances_mm)
    reference_masks, prediction_masks = (structure_masks(cut(each, known)).bool() for each in (reference, prediction))
    scores = {}
    for channel, structure in enumerate(STRUCTURES):
        masks = reference_masks[channel], prediction_masks[channel]
        scores[structure] = _score_masks(*masks, spacing, names)
        if probabilities is not None and (masks[0].any() or masks[1].any()):
            box = box_of_union(*masks, margin=[math.ceil(MARGIN_MM / mm) for mm in spacing])
            counted = ... if known is None else known[0][box]
            probability, truth = probabilities[channel][box][counted], masks[0][box][counted]
            scores[structure]["calibration_error"] = calibration_error(probability, truth)
    if probabilities is not None:
        organ, lesion = reference_masks
        probability = probabilities[STRUCTURES.index("lesion")]
        scores["lesion"]["lesion_auc"] = separation_auc(probability[lesion], probability[organ & ~lesion])
    return scores


def _score_masks(
    reference: torch.Tensor, prediction: torch.Tensor, spacing: Sequence[float], tolerances: dict[str, float]
) -> dict[str, float]:
    """Scores of one structure's masks, bool [X, Y, Z]."""
    reference_voxels, prediction_voxels = int(reference.sum()), int(prediction.sum())
    shared_voxels = int((reference & prediction).sum())
    voxel_ml = math.prod(spacing) / MM3_PER_ML
    scores = dict.fromkeys((*METRICS, *tolerances), math.nan) | dict.fromkeys(DETECTION, 0.0)
    scores["reference_ml"] = reference_voxels * voxel_ml
    scores["prediction_ml"] = prediction_voxels * voxel_ml
    if reference_voxels:
        scores["recall"] = shared_voxels / reference_voxels
        scores["relative_volume_error"] = (prediction_voxels - reference_voxels) / reference_voxels
    if prediction_voxels:
        scores["precision"] = shared_voxels / prediction_voxels
    if reference_voxels or prediction_voxels:
        scores["dice"] = 2 * shared_voxels / (reference_voxels + prediction_voxels)
        box = box_of_union(reference, prediction)
        scores |= detect_components(reference[box], prediction[box])
        both = bool(reference_voxels and prediction_voxels)
        surfaces = _score_surfaces(reference[box], prediction[box], spacing, tolerances) if both else {}
        scores |= dict.fromkeys(tolerances, 0.0) | surfaces
    return scores


def _score_surfaces(
    reference: torch.Tensor, prediction: torch.Tensor, spacing: Sequence[float], tolerances: dict[str, float]
) -> dict[str, float]:
    y, y_pred = reference[None, None].float(), prediction[None, None].float()
    options = {"include_background": True, "spacing": tuple(spacing)}
    # MONAI wants one channel for each tolerance.
    channels = (1, len(tolerances), *reference.shape)
    surface_dice = compute_surface_dice(
        y_pred.expand(channels), y.expand(channels), [*tolerances.values()], use_subvoxels=True, **options
    )
    hausdorff = compute_hausdorff_distance(y_pred, y, percentile=95, **options)
    return {**dict(zip(tolerances, surface_dice[0].tolist(), strict=True)), "hausdorff95_mm": hausdorff.item()}
