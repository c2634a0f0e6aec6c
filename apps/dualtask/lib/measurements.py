"""Figures of a final label, in the form in which a proposal comes with its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.transforms import ResampleToMatch

from dualtask.measurements import measure_scan
from dualtask.scans.reading import read_volume


def measure_label(scan: Path, label: Path) -> dict[str, Any]:
    """Measure a label map on its scan.

    Args:
        scan: in HU.
        label: values 0 background, 1 pancreas, 2 lesion; on any grid, a viewer may have turned its axes.

    Returns:
        what :meth:`dualtask.measurements.ScanMeasurements.as_dict` says, in ml, mm and HU.

    Raises:
        InputError: one of them cannot be read.
    """
    hu = read_volume(scan)
    mask = ResampleToMatch(mode="nearest")(read_volume(label), hu)
    return measure_scan(mask[0].numpy().astype("uint8"), hu[0].numpy(), hu.affine.numpy()).as_dict()
