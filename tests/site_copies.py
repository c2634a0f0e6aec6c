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


def write_synapse(folder: Path, cases: Sequence[Case]) -> Path:
    """BTCV as Synapse has it: thirteen organs, the pancreas is 11; a test scan has no label."""
    for number, case in enumerate(cases, start=1):
        organs = np.where(case.label > 0, 11, 0).astype(np.uint8)
        organs[:14, 0, 0] = range(14)
        save_nifti(folder / f"RawData/Training/img/img{number:04d}.nii.gz", case.image, case.affine)
        save_nifti(folder / f"RawData/Training/label/label{number:04d}.nii.gz", organs, case.affine)
    save_nifti(folder / "RawData/Testing/img/img0061.nii.gz", cases[0].image, cases[0].affine)
    return folder


def write_partial(folder: Path, cases: Sequence[Case], unknown: float = -1024) -> Path:
    """Scans of which the slices through the largest part of the organ are known, and in them the box around it."""
    for number, case in enumerate(cases, start=1):
        inside = np.argwhere(case.label > 0)
        box = tuple(slice(max(low - 3, 0), high + 4) for low, high in zip(inside.min(0), inside.max(0), strict=True))
        middle = int(np.argmax((case.label > 0).sum(axis=(0, 1))))
        known = np.zeros(case.label.shape, bool)
        known[box[0], box[1], middle - 2 : middle + 3] = True
        part = np.where(known, np.clip(case.image, -150, 250), unknown).astype(np.int16)
        save_nifti(folder / f"pancreas_{number:03d}_ct.nii.gz", part, case.affine)
        save_nifti(folder / f"pancreas_{number:03d}_label.nii.gz", case.label, case.affine)
    return folder


def write_folder(folder: Path, **cases: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Path:
    """NIfTI files of named scans, labels and affines, in the layout of ``configs/sites/folder.json``."""
    for name, (scan, label, affine) in cases.items():
        save_nifti(folder / f"images/{name}.nii.gz", scan, affine)
        save_nifti(folder / f"labels/{name}.nii.gz", label, affine)
    return folder
