"""Label maps as DICOM Segmentation objects (PS3.3, A.51), and back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
from monai.data import MetaTensor
from monai.transforms import ResampleToMatch
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage
from pydicom.valuerep import DT

from dualtask.dicom_objects import Segment, Software, make_segmentation
from dualtask.errors import InputError
from dualtask.scans.dicom_series import series_slices
from dualtask.scans.reading import read_volume
from dualtask.scans.voxels import GRID_TOLERANCE
from lib.bundle import Bundle


def is_segmentation(dataset: Dataset) -> bool:
    """Whether a DICOM object is a segmentation."""
    return dataset.get("SOPClassUID") == SegmentationStorage


def structures_of(segmentation: Dataset, bundle: Bundle) -> dict[int, int]:
    """Segment number -> value in a label map, of the segments whose label is one of the bundle's structures.

    Viewers number segments as they like, OHIF in alphabetical order: the label alone says what a segment is. It may end
    with a number, as in "lesion 2", where lesions have segments of their own.
    """
    described = {
        int(segment.SegmentNumber): re.sub(r" \d+$", "", str(segment.SegmentLabel).strip().lower())
        for segment in segmentation.get("SegmentSequence") or []
    }
    return {number: bundle.labels[name] for number, name in described.items() if name in bundle.labels}


def is_untouched(segmentation: Dataset, bundle: Bundle) -> bool:
    """Whether a segmentation is a result of the bundle that nobody has corrected: no label, however it was stored.

    Viewers that export a corrected one put their own name in the place of the maker's.
    """
    kinds = {segment.get("SegmentAlgorithmType") for segment in segmentation.get("SegmentSequence") or []}
    return segmentation.get("Manufacturer") == bundle.name and kinds == {"AUTOMATIC"}


def written_at(segmentation: Dataset) -> datetime:
    """When a segmentation was made; one that does not name its time zone counts as UTC, which is what OHIF writes.

    One that does not say when, or says nonsense, counts as older than all others.
    """
    parts = (
        segmentation.get("ContentDate"),
        segmentation.get("ContentTime"),
        segmentation.get("TimezoneOffsetFromUTC"),
    )
    date, time, zone = (str(part or "") for part in parts)
    try:
        return DT(f"{date}{time}{zone or '+0000'}").astimezone(UTC)
    except ValueError:
        return datetime(1, 1, 1, tzinfo=UTC)


def read_segmentation(segmentation: Dataset, scan: Path, bundle: Bundle) -> MetaTensor:
    """The label map of a segmentation on the grid of its scan.

    Args:
        segmentation: a binary or fractional one, with its pixels.
        scan: NIfTI file of the series that it was drawn on.
        bundle: says which segments count; where segments overlap the higher value does.

    Returns:
        uint8 [1, X, Y, Z] with the scan's affine.

    Raises:
        InputError: no segment has the label of a structure, the object is of another kind, or its pixels are no voxels
            of the scan.
    """
    name = f"The segmentation {segmentation.get('SOPInstanceUID')}"
    values = structures_of(segmentation, bundle)
    if not values:
        raise InputError(f"{name} has no segment called {' or '.join(bundle.labels)}: rename its segments.")
    if segmentation.get("SegmentationType") not in ("BINARY", "FRACTIONAL"):
        raise InputError(f"{name} is neither binary nor fractional: export it as binary.")
    volume = read_volume(scan)
    to_voxel = np.linalg.inv(volume.affine.numpy()) @ np.diag([-1.0, -1.0, 1.0, 1.0])  # from DICOM's LPS
    label = np.zeros(volume.shape[1:], np.uint8)
    for number, pixels, to_lps in _readable_frames(segmentation, name):
        if number not in values or not pixels.any():
            continue
        rows, columns = np.nonzero(pixels)
        places = np.stack([columns, rows, np.zeros_like(rows), np.ones_like(rows)])
        exact = (to_voxel @ to_lps @ places)[:3]
        voxels = np.rint(exact).astype(int)
        inside = ((voxels >= 0) & (voxels < np.array(label.shape)[:, None])).all()
        if not inside or np.abs(exact - voxels).max() > GRID_TOLERANCE:
            raise InputError(f"{name} lies on another grid than its scan: draw it on the original series.")
        index = tuple(voxels)
        label[index] = np.maximum(label[index], values[number])
    return MetaTensor(label[None], affine=volume.affine)


def _readable_frames(segmentation: Dataset, name: str) -> list[tuple[int, np.ndarray, np.ndarray]]:
    try:
        return list(_frames(segmentation))
    except Exception as error:  # a foreign object may lack any part, and decoders raise errors of their own
        raise InputError(f"{name} cannot be read ({type(error).__name__}): export it anew, uncompressed.") from error


def _frames(segmentation: Dataset) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Segment number, mask [rows, columns] and affine (column, row, 0, 1) -> mm (LPS) of each frame."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    pixels = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    least = segmentation.MaximumFractionalValue / 2 if segmentation.SegmentationType == "FRACTIONAL" else 0
    for frame, mask in zip(segmentation.PerFrameFunctionalGroupsSequence, pixels, strict=True):

        def group(name: str, frame: Dataset = frame) -> Dataset:
            return (frame.get(name) or shared[name].value)[0]

        orientation = np.array(group("PlaneOrientationSequence").ImageOrientationPatient, float)
        row_distance, column_distance = map(float, group("PixelMeasuresSequence").PixelSpacing)
        to_lps = np.eye(4)
        to_lps[:3, 0] = orientation[:3] * column_distance
        to_lps[:3, 1] = orientation[3:] * row_distance
        to_lps[:3, 3] = np.array(group("PlanePositionSequence").ImagePositionPatient, float)
        number = int(group("SegmentIdentificationSequence").ReferencedSegmentNumber)
        yield number, mask > least, to_lps


def write_segmentation(path: Path, series: Path, label: Path, bundle: Bundle, annotator: str | None = None) -> None:
    """Write a label map as a segmentation of its series, with a segment for each structure, present or not.

    Args:
        path: of the DICOM file.
        series: folder of the DICOM series that was labelled.
        label: file of the label map, values 0 background, 1 pancreas, 2 lesion; brought to the grid of the series.
        bundle: what made it, alone or before the annotator.
        annotator: who corrected it; None for an automatic one.

    Raises:
        InputError: the series or the label cannot be used.
    """
    slices = [pydicom.dcmread(slice_, stop_before_pixels=True) for slice_ in series_slices(series)]
    mask = ResampleToMatch(mode="nearest")(read_volume(label), read_volume(series))[0].numpy()
    segments = [Segment(name, name) for name in bundle.labels]
    make_segmentation(slices, mask.round(), segments, Software(bundle.name, bundle.version), annotator).save_as(path)
