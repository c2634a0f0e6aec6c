"""All figures of one scan."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from dualtask.measurements.centre_line import CentreLine, find_centre_line, part_at
from dualtask.measurements.diameters import axial_diameters, longest_diameter
from dualtask.units import MM3_PER_ML

_CONNECTIVITY = np.ones((3, 3, 3))


@dataclass(frozen=True)
class Region:
    """Figures of a region of a scan.

    Attributes:
        volume_ml: of its voxels.
        axial_diameter_mm, perpendicular_diameter_mm: see :func:`~dualtask.measurements.diameters.axial_diameters`.
        diameter_3d_mm: see :func:`~dualtask.measurements.diameters.longest_diameter`.
        mean_hu, sd_hu: mean and standard deviation over its known voxels in the scan as it is stored; None where none
            is known.
    """

    volume_ml: float
    axial_diameter_mm: float
    perpendicular_diameter_mm: float
    diameter_3d_mm: float
    mean_hu: float | None
    sd_hu: float | None


@dataclass(frozen=True)
class Lesion(Region):
    """Figures of a lesion.

    Attributes:
        centre_mm: centroid (RAS+).
        share: where it lies along the organ's centre line, 0 at the head's end and 1 at the tail's.
        part: "head", "neck", "body" or "tail". Both are None where the mask is too short a piece of the organ.
    """

    centre_mm: tuple[float, float, float]
    share: float | None
    part: str | None


@dataclass(frozen=True)
class ScanMeasurements:
    """Figures of a scan.

    Attributes:
        pancreas_ml: volume of the whole organ, its lesions included.
        centre_line_mm: length of the organ along its centre line; None where the mask is too short a piece of it.
        gland: the organ without its lesions; None where there is none.
        lesions: the largest first.
    """

    pancreas_ml: float
    centre_line_mm: float | None
    gland: Region | None
    lesions: tuple[Lesion, ...]

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold: the attributes by their names, figures to four decimals."""
        return _rounded(asdict(self))


def measure_scan(label: np.ndarray, hu: np.ndarray, affine: np.ndarray) -> ScanMeasurements:
    """Measure the organ and each of its lesions.

    Args:
        label: integer [X, Y, Z], values 0 background, 1 pancreas, 2 lesion: the scan's or a part of it.
        hu: the same part of the scan in HU, not clipped, NaN where it is not known.
        affine: [4, 4], voxel -> mm (RAS+).
    """
    box = ndimage.find_objects((label > 0).astype(np.uint8))
    if not box:
        return ScanMeasurements(0.0, None, None, ())
    affine = affine @ _shift([side.start for side in box[0]])
    label, hu = label[box[0]], hu[box[0]]
    line = find_centre_line(label > 0, affine)
    numbered = numbered_lesions(label)
    parts = ndimage.find_objects(numbered)
    voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / MM3_PER_ML
    return ScanMeasurements(
        pancreas_ml=np.count_nonzero(label) * voxel_ml,
        centre_line_mm=line.length_mm if line else None,
        gland=_region(label == 1, hu, affine, voxel_ml) if (label == 1).any() else None,
        lesions=tuple(
            _lesion(numbered[part] == number, hu[part], affine @ _shift([side.start for side in part]), voxel_ml, line)
            for number, part in enumerate(parts, start=1)
        ),
    )


def numbered_lesions(label: np.ndarray) -> np.ndarray:
    """The connected lesions (26-connected) of a label map, int32 [X, Y, Z]: 0 elsewhere, 1 the largest, 2 the next."""
    components, count = ndimage.label(label == 2, _CONNECTIVITY)
    voxels = np.bincount(components.ravel(), minlength=count + 1)[1:]
    number = np.zeros(count + 1, np.int32)
    number[1 + np.argsort(-voxels, kind="stable")] = np.arange(1, count + 1)
    return number[components]


def _region(mask: np.ndarray, hu: np.ndarray, affine: np.ndarray, voxel_ml: float) -> Region:
    values = hu[mask].astype(np.float64)
    known = values[~np.isnan(values)]
    longest, perpendicular = axial_diameters(mask, affine)
    return Region(
        volume_ml=len(values) * voxel_ml,
        axial_diameter_mm=longest,
        perpendicular_diameter_mm=perpendicular,
        diameter_3d_mm=longest_diameter(mask, affine),
        mean_hu=float(known.mean()) if len(known) else None,
        sd_hu=float(known.std()) if len(known) else None,
    )


def _lesion(mask: np.ndarray, hu: np.ndarray, affine: np.ndarray, voxel_ml: float, line: CentreLine | None) -> Lesion:
    places = apply_affine(affine, np.argwhere(mask))
    share = line.share_at(places) if line else None
    x, y, z = (float(side) for side in places.mean(axis=0))
    region = asdict(_region(mask, hu, affine, voxel_ml))
    return Lesion(**region, centre_mm=(x, y, z), share=share, part=None if share is None else part_at(share))


def _shift(voxels: list[int]) -> np.ndarray:
    """Affine [4, 4] of a part of a grid that begins at a voxel."""
    shift = np.eye(4)
    shift[:3, 3] = voxels
    return shift


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value
