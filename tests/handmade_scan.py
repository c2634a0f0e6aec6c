"""A scan that is segmented by its brightness alone, so that what is measured of the mask is known.

Stands for a CT at 3 mm: fat, a straight organ of 96 x 24 x 18 mm along the patient's width, and two lesions in it.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from dualtask.nifti import save_nifti
from dualtask.phantom.dicom import write_dicom_series
from dualtask.phantom.generator import Case
from dualtask.phantom.sites import SITES

SHAPE = (41, 36, 22)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
ORGAN = np.s_[6:38, 12:20, 8:14]
LARGE_LESION = np.s_[30:35, 14:18, 9:13]
"""In the head: the first axis grows towards the patient's right."""
SMALL_LESION = np.s_[10:13, 14:17, 9:12]
"""In the tail."""

LARGE_HU, SMALL_HU = 400, 200
"""The first lies above the window of the network."""


def label_map() -> np.ndarray:
    """uint8 [X, Y, Z]: 0 background, 1 pancreas, 2 lesion."""
    label = np.zeros(SHAPE, np.uint8)
    label[ORGAN] = 1
    label[LARGE_LESION] = label[SMALL_LESION] = 2
    return label


def densities() -> np.ndarray:
    """int16 [X, Y, Z] in HU."""
    hu = np.full(SHAPE, -90, np.int16)
    hu[0, 0, 0] = -100  # a scan that is one value everywhere would be refused
    hu[ORGAN] = 100
    hu[LARGE_LESION], hu[SMALL_LESION] = LARGE_HU, SMALL_HU
    return hu


def write_nifti(path: Path) -> Path:
    """The scan as a NIfTI file."""
    save_nifti(path, densities(), AFFINE)
    return path


def write_dicom(folder: Path, codes: str = "LPS") -> Path:
    """The scan as a DICOM series, its slices numbered in the direction of the last letter."""
    turn = nib.orientations.ornt_transform(nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(codes))
    scan = nib.Nifti1Image(densities(), AFFINE).as_reoriented(turn)
    hu, label = np.asarray(scan.dataobj), np.zeros(scan.shape, np.uint8)
    write_dicom_series(folder, Case("handmade", SITES["coastal"], hu, label, scan.affine, "portal", None))
    return folder
