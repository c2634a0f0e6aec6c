"""Which connected parts of a structure were found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

DETECTION = ("reference_components", "detected_components", "false_positive_components")
"""Names of the counts, in the order of the tables."""

HIT_IOU = 0.1
"""Intersection over union from which a predicted component counts as a hit, as in the PI-CAI challenge."""

_CONNECTIVITY = np.ones((3, 3, 3))


@dataclass(frozen=True)
class Matching:
    """Predicted components of a structure against those of the reference.

    Attributes:
        reference_count: number of components of the reference.
        components: int [X, Y, Z], 0 or the number from 1 of the predicted component.
        hit: bool, for each predicted component whether it hits one of the reference.
    """

    reference_count: int
    components: np.ndarray
    hit: np.ndarray


def match_components(reference: torch.Tensor, prediction: torch.Tensor) -> Matching:
    """Match what was found of a structure with what there is.

    Components are 26-connected. Each reference component is matched with at most one predicted component and the other
    way round, so that the total intersection over union is largest; a pair is a hit from ``HIT_IOU`` on. One blob
    across two lesions finds one of them, and two halves of a lesion are one hit and one false positive.

    Args:
        reference, prediction: bool [X, Y, Z].
    """
    true, true_count = ndimage.label(reference.numpy(), _CONNECTIVITY)
    found, found_count = ndimage.label(prediction.numpy(), _CONNECTIVITY)
    pairs = np.bincount((true * (found_count + 1) + found).ravel(), minlength=(true_count + 1) * (found_count + 1))
    voxels = pairs.reshape(true_count + 1, found_count + 1)
    shared = voxels[1:, 1:]
    union = voxels.sum(axis=1)[1:, None] + voxels.sum(axis=0)[None, 1:] - shared
    iou = shared / union
    # What is no hit must not take a component away from one that is.
    iou[iou < HIT_IOU] = 0
    hit = np.zeros(found_count, dtype=bool)
    rows, columns = linear_sum_assignment(iou, maximize=True)
    hit[columns] = iou[rows, columns] > 0
    return Matching(true_count, found, hit)


def detect_components(reference: torch.Tensor, prediction: torch.Tensor) -> dict[str, float]:
    """Count what was found of a structure and what was invented, see :func:`match_components`.

    Args:
        reference, prediction: bool [X, Y, Z].

    Returns:
        a count for each of ``DETECTION``. Sensitivity is the sum of detected over the sum of reference components of
        many scans. Empty masks have no component.
    """
    matching = match_components(reference, prediction)
    hits = int(matching.hit.sum())
    counts = (matching.reference_count, hits, len(matching.hit) - hits)
    return dict(zip(DETECTION, map(float, counts), strict=True))
