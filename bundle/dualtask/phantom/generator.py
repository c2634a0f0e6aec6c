"""From (site, seed, case number) to a scan with labels."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from dualtask.phantom.acquisition import scan_patient
from dualtask.phantom.anatomy import build_patient
from dualtask.phantom.sites import SITES, Site


@dataclass(frozen=True)
class Case:
    """One synthetic scan.

    Attributes:
        name: `<site>_<case, three digits>`.
        site: where it was scanned.
        image: int16 HU, [x, y, z] in the site's stored orientation.
        label: uint8, same shape; 0 background, 1 pancreas, 2 lesion.
        affine: [4, 4] float64, voxel indices to mm, RAS+.
        phase: contrast phase.
        lesion: description of the lesion, or None.
        lesion_share: where the lesion lies, as the share of the pancreas's centre line from the head's end; or None.
    """

    name: str
    site: Site
    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray
    phase: str
    lesion: str | None
    lesion_share: float | None = None


def generate_case(site: Site, seed: int, case: int, matrix: int | None = None) -> Case:
    """Generate one case.

    The voxels depend on the arguments alone: not on the machine, and not on which other cases are generated. All
    arithmetic is float64 and ends in a rounding to whole HU, so the last bits of a maths library do not show.

    Args:
        site: one of `SITES`.
        seed: non-negative; another seed gives other patients.
        case: non-negative number of the patient within the site.
        matrix: pixels per side of a slice, the site's own by default; the patient stays the same.
    """
    stream = np.random.SeedSequence([seed, list(SITES).index(site.name), case])
    for_patient, for_scanner = (np.random.Generator(np.random.PCG64(child)) for child in stream.spawn(2))
    patient = build_patient(site, for_patient)
    scan = scan_patient(patient, site, for_scanner, matrix or site.matrix)

    affine = np.diag([-scan.spacing_mm[0], -scan.spacing_mm[1], scan.spacing_mm[2], 1.0])
    affine[:3, 3] = -scan.origin_mm[0], -scan.origin_mm[1], scan.origin_mm[2]
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("LPS"), nib.orientations.axcodes2ornt(site.orientation)
    )
    stored = affine @ nib.orientations.inv_ornt_aff(turn, scan.image.shape)
    image, label = (
        np.ascontiguousarray(nib.orientations.apply_orientation(volume, turn)) for volume in (scan.image, scan.label)
    )
    name = f"{site.name}_{case:03d}"
    return Case(name, site, image, label, stored, patient.phase, patient.lesion, patient.lesion_share)
