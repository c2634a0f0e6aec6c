"""Lesions as objects: how many are found at how many false alarms a scan (free-response operating characteristic)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from monai.metrics import compute_froc_curve_data, compute_froc_score

from dualtask.evaluation.components import Component
from dualtask.files import write_table

FALSE_ALARMS = (0.25, 0.5, 1.0, 2.0)
"""Mean numbers of false alarms a scan at which the sensitivity is reported."""


@dataclass(frozen=True)
class Froc:
    """The curve, from the lowest confidence to the highest and at last without any component.

    Attributes:
        lesions, scans: number of reference components and of scans.
        confidence: from which on components are kept, inf at the end.
        false_alarms: mean number of kept components a scan that hit no lesion.
        sensitivity: share of the lesions that a kept component hits; NaN without any lesion.
    """

    lesions: int
    scans: int
    confidence: np.ndarray
    false_alarms: np.ndarray
    sensitivity: np.ndarray

    def sensitivity_at(self, false_alarms: float) -> float:
        """Sensitivity at a mean number of false alarms a scan, interpolated as in the CAMELYON and LUNA challenges.

        Beyond the last point it is that of all components: the curve ends where the masks do.
        """
        if not self.lesions:
            return math.nan
        return float(compute_froc_score(self.false_alarms, self.sensitivity, (false_alarms,)))


def froc(hits: Sequence[float], false: Sequence[float], lesions: int, scans: int) -> Froc:
    """FROC curve of components.

    Args:
        hits: confidence of each predicted component that hits a lesion, one for each lesion that is found.
        false: confidence of each of the other components.
        lesions: number of reference components in all scans.
        scans: number of scans, those without a lesion included; at least one.
    """
    # MONAI leaves out the lowest confidence of all, for the challenges name a lesion that was not found there.
    found = np.append(np.asarray(hits, dtype=float), -math.inf)
    confidence = np.append(np.unique([*hits, *false]), math.inf)
    false_alarms, sensitivity = compute_froc_curve_data(np.asarray(false, dtype=float), found, lesions or 1, scans)
    return Froc(
        lesions, scans, confidence, false_alarms, sensitivity if lesions else np.full(len(confidence), math.nan)
    )


def confidence_name(components: Sequence[Component]) -> str:
    """The field of components that is their confidence.

    The mean probability, or the volume where some come without. The largest probability is that of one voxel, and so
    near 1 in large components that it hardly puts them in order.
    """
    return "ml" if any(math.isnan(component.probability) for component in components) else "probability"


def froc_of_components(components: Sequence[Component], lesions: int, scans: int, confidence: str) -> Froc:
    """FROC curve of the predicted lesions of scans.

    Args:
        components: of all scans.
        lesions, scans: see :func:`froc`.
        confidence: see :func:`confidence_name`.
    """
    hits, false = (
        [getattr(component, confidence) for component in components if component.hit is wanted]
        for wanted in (True, False)
    )
    return froc(hits, false, lesions, scans)


def sensitivities(curve: Froc) -> dict[str, float | None]:
    """Sensitivity at each of ``FALSE_ALARMS`` under the name that it has in summaries, None without any lesion."""
    found = {f"sensitivity_at_{rate:g}_per_scan": curve.sensitivity_at(rate) for rate in FALSE_ALARMS}
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def write_froc(path: str | os.PathLike[str], curve: Froc, confidence: str) -> None:
    """Write a curve as CSV, atomically: its points, with the confidence under its name."""
    columns = (f"least_{confidence}", "false_alarms_per_scan", "sensitivity")
    write_table(path, columns, zip(curve.confidence, curve.false_alarms, curve.sensitivity, strict=True))
