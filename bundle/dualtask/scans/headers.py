"""Checks of a scan before its voxels are read: cheap enough to run over a whole list of scans up front."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
from isal import igzip
from nibabel.openers import ImageOpener

from dualtask.errors import InputError
from dualtask.scans.damage import refusing_damage
from dualtask.scans.dicom_series import series_slices

NIFTI = (".nii", ".nii.gz")
NRRD = (".nrrd",)

_NRRD_SPACES = ("left-posterior-superior", "right-anterior-superior")
"""The spaces that MONAI's reader turns into RAS rightly; it takes every other name as RAS without a word."""

_NRRD_SKIPS = ("line skip", "lineskip", "byte skip", "byteskip")
"""Fields that say how much of the file stands before the voxels, each in two spellings."""

_FOREIGN_UNITS = {1: "metres", 3: "micrometres"}
"""Units of length that a NIfTI header may state; readers take every number as mm without a word."""

_SPACING_TOLERANCE = 0.01
"""Share by which the spacing in a NIfTI header may differ from that in its affine; both are rounded."""


def check_scans(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Check a list of scans, so that a bad one is refused before any result is written.

    Raises:
        InputError: the list is empty, or a scan in it is refused by :func:`check_scan`.
    """
    if isinstance(paths, str | os.PathLike):
        raise InputError(f"{paths} is one path and not a list of scans: put it in a list.")
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
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"{path!r} is no path of a scan: give one path for each scan.")
    path = Path(path)
    name = path.name.lower()
    if not path.exists():
        raise InputError(f"{path} does not exist: check the path.")
    if path.is_dir():
        series_slices(path)
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
    with refusing_damage(path, "is not a readable NIfTI file"):
        image = nib.load(path)
        shape, affine = image.shape, image.affine
        # nibabel replaces a spacing of zero by 1 mm while loading: look at what the file says.
        with ImageOpener(path) as file:
            header = type(image.header).from_fileobj(file, check=False)
        zooms = np.asarray(header["pixdim"][1:4], dtype=float)
        units = _FOREIGN_UNITS.get(int(header["xyzt_units"]) % 8)
        oriented = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        dtype = image.header.get_data_dtype()
        stored = image.dataobj.offset + math.prod(map(int, shape)) * dtype.itemsize
    _check_shape(path, shape)
    if dtype.kind not in "iuf":
        raise InputError(f"{path} stores colours or complex numbers and not CT values: give the original CT.")
    if not _holds(path, stored):
        raise InputError(f"{path} is shorter than its header says, it was cut off: copy it again.")
    if not np.all(np.isfinite(zooms)) or np.any(zooms <= 0):
        raise InputError(f"{path} has a voxel spacing of {zooms.tolist()} mm: export it with its true spacing.")
    if units:
        raise InputError(f"{path} states its geometry in {units}: export it in mm.")
    if not oriented:
        raise InputError(f"{path} states no orientation, left might be right: export it with its orientation.")
    check_affine(path, affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(spacing, zooms, rtol=_SPACING_TOLERANCE):
        listed, other = (" x ".join(f"{side:g}" for side in sides) for sides in (zooms, spacing))
        raise InputError(
            f"{path} has a voxel spacing of {listed} mm in its header and of {other} mm in its affine: export it again."
        )


def _holds(path: Path, size: int) -> bool:
    """Whether a plain or compressed file holds that many bytes."""
    if path.suffix.lower() != ".gz":
        return path.stat().st_size >= size
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        if int.from_bytes(file.read(), "little") == size % 2**32:
            return True
    # The trailer counts the last gzip member only and says nothing in a file that was cut off: count.
    try:
        with igzip.open(path) as file:
            while size > 0 and (block := file.read(1 << 20)):
                size -= len(block)
    except (OSError, EOFError, zlib.error):
        return False
    return size <= 0


def _check_nrrd(path: Path) -> None:
    with refusing_damage(path, "is not a readable NRRD file"):
        header = nrrd.read_header(str(path))
        shape = tuple(header["sizes"])
        directions, origin = (np.asarray(header.get(f"space {name}"), float) for name in ("directions", "origin"))
        skipped = [int(header.get(name, 0)) for name in _NRRD_SKIPS]
    if {"data file", "datafile"} & {key.lower() for key in header}:
        raise InputError(f"{path} takes its voxels from another file: export header and voxels into one file.")
    if header.get("type") == "block":
        raise InputError(f"{path} stores blocks of bytes and not CT values: give the original CT.")
    # The reader counts skipped lines one by one, whether the file has them or not.
    if max(skipped) > path.stat().st_size:
        raise InputError(f"{path} is shorter than its header says, it was cut off: copy it again.")
    _check_shape(path, shape)
    if header.get("space") not in _NRRD_SPACES:
        known = " or ".join(_NRRD_SPACES)
        raise InputError(f"{path} has the space {header.get('space', 'unknown')!r}: export it in {known}.")
    if directions.shape != (3, 3) or origin.shape != (3,):
        raise InputError(f"{path} states no three space directions and an origin: export it with its geometry.")
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, origin
    check_affine(path, affine)


def _check_shape(path: Path, shape: tuple[int, ...]) -> None:
    if min(shape, default=0) < 1:
        raise InputError(f"{path} states {_sides(shape)}, which cannot be: copy or export it again.")
    if len(shape) < 3 or min(shape[:3]) < 2:
        raise InputError(f"{path} is a flat image of {_sides(shape)}: give the whole three-dimensional scan.")
    if int(np.prod(shape[3:])) != 1:
        raise InputError(f"{path} holds {_sides(shape)}, more than three dimensions: export one volume of it.")


def check_affine(path: Path, affine: np.ndarray) -> None:
    """Refuse an affine [4, 4] (voxel -> mm) that is not finite or cannot be inverted."""
    if not np.all(np.isfinite(affine)) or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InputError(f"{path} has a geometry that cannot be inverted: export it again with a valid affine.")


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape or [0]) + " voxels"
