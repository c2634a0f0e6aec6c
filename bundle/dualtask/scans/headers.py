"""Checks of a scan before its voxels are read: cheap enough to run over a whole list of scans up front."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
from nibabel.openers import ImageOpener

from dualtask.errors import InputError
from dualtask.scans.dicom_series import check_dicom_series

NIFTI = (".nii", ".nii.gz")
NRRD = (".nrrd",)


def check_scans(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Check a list of scans, so that a bad one is refused before any result is written.

    Raises:
        InputError: the list is empty, or a scan in it is refused by :func:`check_scan`.
    """
    if not paths:
        raise InputError("The list of scans is empty: name at least one scan.")
    for path in paths:
        check_scan(path)


def check_scan(path: str | os.PathLike[str]) -> None:
    """Check that a path holds one three-dimensional image with a usable geometry.

    Args:
        path: a NIfTI or NRRD file, or the folder of one DICOM series.

    Raises:
        InputError: says what is wrong with the file and what to do.
    """
    path = Path(path)
    name = path.name.lower()
    if not path.exists():
        raise InputError(f"{path} does not exist: check the path.")
    if path.is_dir():
        check_dicom_series(path)
    elif name.endswith(".dcm"):
        raise InputError(f"{path} is one slice of a DICOM series: give the folder that holds the whole series.")
    elif not name.endswith(NIFTI + NRRD):
        raise InputError(f"{path} has no known suffix: give a .nii, .nii.gz or .nrrd file or a folder of DICOM files.")
    elif path.stat().st_size == 0:
        raise InputError(f"{path} is empty: copy or export it again.")
    elif name.endswith(NRRD):
        _check_nrrd(path)
    else:
        _check_nifti(path)


def _check_nifti(path: Path) -> None:
    try:
        image = nib.load(path)
        shape, affine = image.shape, image.affine
        # nibabel replaces a spacing of zero by 1 mm while loading: look at what the file says.
        with ImageOpener(path) as file:
            zooms = np.asarray(type(image.header).from_fileobj(file, check=False)["pixdim"][1:4], dtype=float)
        end_of_voxels = image.dataobj.offset + int(np.prod(shape)) * image.header.get_data_dtype().itemsize
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} is not a readable NIfTI file: copy or export it again.") from error
    _check_shape(path, shape)
    # Of a compressed file only reading tells whether it is complete.
    if path.suffix == ".nii" and path.stat().st_size < end_of_voxels:
        raise InputError(f"{path} is shorter than its header says, it was cut off: copy it again.")
    if not np.all(np.isfinite(zooms)) or np.any(zooms == 0):
        raise InputError(f"{path} has a voxel spacing of {zooms.tolist()} mm: export it with its true spacing.")
    check_affine(path, affine)


def _check_nrrd(path: Path) -> None:
    try:
        header = nrrd.read_header(str(path))
    except (nrrd.NRRDError, OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable NRRD file: copy or export it again.") from error
    _check_shape(path, tuple(header["sizes"]))
    directions = header.get("space directions")
    if directions is None:
        raise InputError(f"{path} states no space directions: export it with its geometry.")
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(directions, dtype=float)
    check_affine(path, affine)


def _check_shape(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) < 3 or min(shape[:3]) < 2:
        raise InputError(f"{path} is a flat image of {_sides(shape)}: give the whole three-dimensional scan.")
    if int(np.prod(shape[3:])) != 1:
        raise InputError(f"{path} holds {_sides(shape)}, more than three dimensions: export one volume of it.")


def check_affine(path: Path, affine: np.ndarray) -> None:
    """Refuse an affine [4, 4] (voxel -> mm) that is not finite or cannot be inverted."""
    if not np.all(np.isfinite(affine)) or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InputError(f"{path} has a geometry that cannot be inverted: export it again with a valid affine.")


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape) + " voxels"
