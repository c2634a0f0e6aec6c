"""Small copies of sites on disk, as they would be downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from dualtask.nifti import save_nifti
from dualtask.phantom.dicom import write_dicom_series
from dualtask.phantom.generator import Case


def turned(volume: np.ndarray, affine: np.ndarray, axes: str) -> tuple[np.ndarray, np.ndarray]:
    """A volume stored along other axes, with the affine that says so."""
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(axes))
    moved = affine @ nib.orientations.inv_ornt_aff(turn, volume.shape)
    return nib.orientations.apply_orientation(volume, turn), moved


def write_nih(folder: Path, cases: Sequence[Case]) -> Path:
    """DICOM series and labels of the pancreas alone, which run left, front, feet and whose affine does not say so."""
    for number, case in enumerate(cases, start=1):
        write_dicom_series(folder / f"Pancreas-CT/PANCREAS_{number:04d}/11-24-2015-NA/Pancreas-{number}", case)
        label, affine = turned((case.label > 0).astype(np.uint8), case.affine, "LAI")
        astray = np.diag([*nib.affines.voxel_sizes(affine), 1.0])
        save_nifti(folder / f"TCIA_pancreas_labels-02-05-2017/label{number:04d}.nii.gz", label, astray)
    return folder


def write_folder(folder: Path, **cases: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Path:
    """NIfTI files of named scans, labels and affines, in the layout of ``configs/sites/folder.json``."""
    for name, (scan, label, affine) in cases.items():
        save_nifti(folder / f"images/{name}.nii.gz", scan, affine)
        save_nifti(folder / f"labels/{name}.nii.gz", label, affine)
    return folder
