"""The slices of one DICOM series: checked and put in order by their place in space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from monai.data import PydicomReader
from monai.utils import ensure_tuple
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from dualtask.errors import InputError
from dualtask.scans.damage import refusing_damage

_REQUIRED = (
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "RescaleSlope",
    "RescaleIntercept",
)

_POSITION_TOLERANCE = 0.1
"""Share of the slice distance by which a slice may be off its place; scanners round positions."""

_TILT_TOLERANCE = 1e-3
"""Sine of the angle between the stack of slices and their normal."""

_SLICE_TOLERANCE = 1e-4
"""Direction cosines and mm of pixel spacing; scanners round them slice by slice."""

_DIRECTION_TOLERANCE = 1e-3
"""By which the products of direction cosines may differ from 0 and 1; scanners round them."""


class SeriesReader(PydicomReader):
    """MONAI's reader of a folder, with the slices stacked by their position along the normal.

    MONAI stacks by instance number, which need not follow the position, and leaves out slices without one.
    """

    def read(self, data: Sequence[str | PathLike[str]] | str | PathLike[str], **kwargs: Any) -> list[pydicom.Dataset]:
        (folder,) = ensure_tuple(data)
        paths = series_slices(Path(folder))
        slices = [pydicom.dcmread(path, **kwargs) for path in paths]
        for place, header in enumerate(slices):
            header.InstanceNumber = place
        self.filenames, self.has_series = [paths], True
        return slices


def series_slices(folder: Path) -> list[Path]:
    """Check that a folder holds the slices of exactly one CT series, none missing, doubled or tilted.

    Returns:
        the files in order of position along the normal of the slices.

    Raises:
        InputError: says what is wrong with the folder and what to do.
    """
    with refusing_damage(folder, "is not a readable DICOM series"):
        return _checked_slices(folder)


def _checked_slices(folder: Path) -> list[Path]:
    slices = _read_headers(folder)
    if not slices:
        raise InputError(f"{folder} holds no DICOM files: give the folder of one CT series.")
    paths, headers = list(slices), list(slices.values())
    _check_kind(folder, headers)
    _check_sizes(folder, slices)
    orientation, positions = _geometry(folder, headers)
    normal = np.cross(orientation[:3], orientation[3:])
    order = np.argsort(positions @ normal, kind="stable")
    _check_stack(folder, positions[order], normal)
    return [paths[index] for index in order]


def _read_headers(folder: Path) -> dict[Path, pydicom.Dataset]:
    headers = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            continue
        # A DICOMDIR and reports have no place in the stack.
        if "SeriesInstanceUID" in header and "Rows" in header:
            headers[path] = header
    return headers


def _check_kind(folder: Path, headers: list[pydicom.Dataset]) -> None:
    """Refuse anything but the single-channel slices of one CT series in a compression that can be undone here."""
    series = Counter(str(header.SeriesInstanceUID) for header in headers)
    if len(series) > 1:
        listed = ", ".join(f"{uid} ({count} slices)" for uid, count in sorted(series.items()))
        raise InputError(
            f"{folder} holds {len(series)} DICOM series, {listed}: put each series in a folder of its own."
        )
    modality = headers[0].get("Modality") or "of unknown modality"
    if modality != "CT":
        raise InputError(f"{folder} is {modality} and not CT, whose units the networks know: give a CT series.")
    if any(int(header.get("NumberOfFrames") or 1) > 1 for header in headers):
        raise InputError(f"{folder} holds a multi-frame image: export it as one file per slice.")
    if any(int(header.get("SamplesPerPixel") or 1) > 1 for header in headers):
        raise InputError(f"{folder} holds colour pictures and not CT values: give the original CT series.")
    if len(headers) < 2:
        raise InputError(f"{folder} holds a single slice: give the folder that holds the whole series.")
    for syntax in {header.file_meta.TransferSyntaxUID for header in headers}:
        if not _can_be_decoded(syntax):
            raise InputError(f"{folder} is compressed as {syntax.name}: export it uncompressed.")


def _can_be_decoded(syntax: UID) -> bool:
    if not hasattr(pydicom, "pixels"):  # before pydicom 3
        handlers = pydicom.config.pixel_data_handlers
        return any(handler.is_available() and handler.supports_transfer_syntax(syntax) for handler in handlers)
    try:
        return bool(pydicom.pixels.get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _check_sizes(folder: Path, slices: dict[Path, pydicom.Dataset]) -> None:
    """Refuse slices without pixels, and those shorter than their headers say before room is made for what these say."""
    for path, header in slices.items():
        if min(header.Rows, header.Columns) < 2:
            raise InputError(f"{folder} has a slice of {header.Rows} x {header.Columns} pixels: export it again.")
        syntax = header.file_meta.TransferSyntaxUID
        if syntax.is_compressed or syntax.is_deflated:
            continue
        stated = int(header.Rows) * int(header.Columns) * int(header.get("BitsAllocated") or 0) // 8
        if stated > path.stat().st_size:
            raise InputError(f"{folder} has a slice that was cut off, {path.name}: copy or export it again.")


def _geometry(folder: Path, headers: list[pydicom.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """The orientation [6] shared by all slices and their positions [n, 3] in mm (LPS)."""
    for keyword in _REQUIRED:
        lacking = sum(header.get(keyword) in (None, "") for header in headers)
        if lacking:
            raise InputError(f"{folder} has {lacking} slices without {keyword}: export the original CT series again.")
    try:
        positions = np.array([header.ImagePositionPatient for header in headers], dtype=float).reshape(-1, 3)
        orientations = np.array([header.ImageOrientationPatient for header in headers], dtype=float).reshape(-1, 6)
        spacings = np.array([header.PixelSpacing for header in headers], dtype=float).reshape(-1, 2)
    except ValueError as error:
        raise InputError(f"{folder} has slices with a broken geometry: export the original CT again.") from error
    if not np.isfinite(np.hstack([positions, orientations, spacings])).all() or np.any(spacings <= 0):
        raise InputError(f"{folder} has slices with an impossible position or spacing: export it with its geometry.")
    across, along = orientations[:, :3], orientations[:, 3:]
    products = [np.sum(one * other, axis=1) for one, other in ((across, across), (along, along), (across, along))]
    if np.abs(np.array(products) - [[1], [1], [0]]).max() > _DIRECTION_TOLERANCE:
        raise InputError(
            f"{folder} has slices whose orientation is no two perpendicular directions: export it with its geometry."
        )
    if (
        len({(header.Rows, header.Columns) for header in headers}) > 1
        or np.abs(orientations - orientations[0]).max() > _SLICE_TOLERANCE
        or np.abs(spacings - spacings[0]).max() > _SLICE_TOLERANCE
    ):
        raise InputError(
            f"{folder} mixes slices of different size, spacing or orientation: export the axial series alone."
        )
    return orientations[0], positions


def _check_stack(folder: Path, positions: np.ndarray, normal: np.ndarray) -> None:
    steps = np.diff(positions, axis=0)
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
