"""Checks of a folder of DICOM files: one CT series, complete and regular."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from dualtask.errors import InputError

_POSITION_TOLERANCE = 0.1
"""Share of the slice distance by which a slice may be off its place; scanners round positions."""

_TILT_TOLERANCE = 1e-3
"""Sine of the angle between the stack of slices and their normal."""


def check_dicom_series(folder: Path) -> None:
    """Check that a folder holds the slices of exactly one CT series, none missing, doubled or tilted.

    Raises:
        InputError: says what is wrong with the folder and what to do.
    """
    slices = _read_headers(folder)
    if not slices:
        raise InputError(f"{folder} holds no DICOM files: give the folder of one CT series.")
    _check_one_series(folder, slices)
    modality = slices[0].get("Modality", "of unknown modality")
    if modality != "CT":
        raise InputError(f"{folder} is {modality} and not CT, whose units the networks know: give a CT series.")
    if len(slices) < 2:
        raise InputError(f"{folder} holds a single slice: give the folder that holds the whole series.")
    try:
        grids = {(s.Rows, s.Columns, *s.PixelSpacing, *s.ImageOrientationPatient) for s in slices}
        positions = np.array([s.ImagePositionPatient for s in slices], dtype=float)
    except AttributeError as error:
        raise InputError(f"{folder} has slices without position or size: export the series again.") from error
    if len(grids) > 1:
        raise InputError(
            f"{folder} mixes slices of different size, spacing or orientation: export the axial series alone."
        )
    orientation = np.array(slices[0].ImageOrientationPatient, dtype=float)
    _check_stack(folder, positions, normal=np.cross(orientation[:3], orientation[3:]))


def _read_headers(folder: Path) -> list[pydicom.Dataset]:
    headers = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            continue
        # A DICOMDIR and reports have no place in the stack.
        if "SeriesInstanceUID" in header and "Rows" in header:
            headers.append(header)
    return headers


def _check_one_series(folder: Path, slices: list[pydicom.Dataset]) -> None:
    counts: dict[str, int] = defaultdict(int)
    for header in slices:
        counts[header.SeriesInstanceUID] += 1
    if len(counts) > 1:
        listed = ", ".join(f"{uid} ({count} slices)" for uid, count in sorted(counts.items()))
        raise InputError(
            f"{folder} holds {len(counts)} DICOM series, {listed}: put each series in a folder of its own."
        )


def _check_stack(folder: Path, positions: np.ndarray, normal: np.ndarray) -> None:
    order = np.argsort(positions @ normal)
    steps = np.diff(positions[order], axis=0)
    distances = steps @ normal
    usual = float(np.median(distances))
    if np.any(np.isclose(distances, 0, atol=1e-3)):
        raise InputError(
            f"{folder} holds two slices at one position: remove the duplicates or export the series again."
        )
    if np.any(np.abs(distances - usual) > _POSITION_TOLERANCE * usual):
        place = int(np.argmax(np.abs(distances - usual)))
        gap = f"{distances[place]:.2f} mm instead of {usual:.2f} mm"
        raise InputError(f"{folder} lacks slices, slices {place + 1} and {place + 2} are {gap} apart: export it again.")
    if np.any(np.linalg.norm(steps - np.outer(distances, normal), axis=1) > _TILT_TOLERANCE * distances):
        raise InputError(
            f"{folder} was taken with a tilted gantry, its slices are sheared: give a series resampled without tilt."
        )
