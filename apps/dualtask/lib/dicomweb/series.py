"""DICOM files into a DICOM server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pydicom
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dualtask.errors import InputError


def push_series(folder: Path, client: DICOMwebClient) -> int:
    """Store the DICOM series below a folder that the server does not have.

    Returns:
        how many series were stored.

    Raises:
        InputError: there is no DICOM file below the folder.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (series := _series_of(path)):
            found[series].append(path)
    if not found:
        raise InputError(f"There is no DICOM file in {folder}: give a folder of DICOM series.")
    present = {str(Dataset.from_json(entry).SeriesInstanceUID) for entry in client.search_for_series()}
    new = [paths for series, paths in found.items() if series not in present]
    for paths in new:
        _store(paths, client)
    return len(new)


def _series_of(path: Path) -> str | None:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
    except InvalidDicomError:
        return None
    return header.get("SeriesInstanceUID")


def _store(paths: Sequence[Path], client: DICOMwebClient) -> None:
    client.store_instances([pydicom.dcmread(path) for path in paths])
