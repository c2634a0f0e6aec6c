"""Writes what inference found as DICOM objects of the series."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from monai.transforms import Transform
from monai.utils import ImageMetaKey
from pydicom.dataset import Dataset

from dualtask.dicom_objects.measurement_report import make_measurement_report
from dualtask.dicom_objects.parametric_map import make_parametric_map
from dualtask.dicom_objects.segmentation import Segment, Software, make_segmentation
from dualtask.errors import InputError
from dualtask.files import write_atomically
from dualtask.measurements import ScanMeasurements, numbered_lesions
from dualtask.scans.dicom_series import series_slices
from dualtask.scans.writing import case_name
from dualtask.structures import STRUCTURES

logger = logging.getLogger(__name__)


def check_series(scans: Sequence[str]) -> None:
    """Refuse scans that DICOM objects cannot refer to.

    Raises:
        InputError: a scan is no folder of a DICOM series.
    """
    for scan in scans:
        if not Path(scan).is_dir():
            raise InputError(f"{scan} is no DICOM series, to which DICOM objects refer: give the folder of a series.")


class SaveDicomObjects(Transform):
    """Writes ``<case>_seg.dcm`` and ``<case>_sr.dcm``, and for each of the maps ``<case>_<map>_<structure>.dcm``.

    The segmentation has a segment for the organ without its lesions and one for each lesion. Where nothing was found
    none is written, and the log says so.

    Args:
        output_dir: folder of the files.
        software_name, software_version: what the objects name as their maker.
        maps: keys of maps [2, X, Y, Z] on the series' own grid, with a channel for each structure.
        label_key: key of the label map, a MetaTensor [1, X, Y, Z] that knows the folder of its series, with
            ``measurements`` and, where results are doubted, ``doubt`` beside it.
        scans_root: see ``case_name``.
    """

    def __init__(
        self,
        output_dir: str,
        software_name: str,
        software_version: str,
        maps: Sequence[str] = (),
        label_key: str = "pred",
        scans_root: str | os.PathLike[str] = "",
    ) -> None:
        self.folder = Path(output_dir)
        self.scans_root = scans_root
        self.software = Software(software_name, software_version)
        self.maps = tuple(maps)
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        label = data[self.label_key]
        series = Path(label.meta[ImageMetaKey.FILENAME_OR_OBJ])
        case = case_name(series, self.scans_root)
        mask = label[0].cpu().numpy()
        if not mask.any():
            logger.warning(f"Nothing was found in {case}: no DICOM objects are written for it.")
            return data
        slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in series_slices(series)]
        measurements: ScanMeasurements = data["measurements"]
        segments = [
            Segment("pancreas", "pancreas"),
            *(Segment(f"lesion {number}", "lesion") for number in range(1, len(measurements.lesions) + 1)),
        ]
        numbered = numbered_lesions(mask)
        segmentation = make_segmentation(
            slices, np.where(numbered > 0, numbered + 1, mask > 0), segments, self.software
        )
        warning = data.get("doubt", {}).get("warning")
        self._save(f"{case}_seg", segmentation)
        self._save(
            f"{case}_sr",
            make_measurement_report(slices, segmentation, segments, measurements, self.software, warning),
        )
        for name in self.maps:
            for structure, values in zip(STRUCTURES, data[name].cpu().numpy(), strict=True):
                parametric_map = make_parametric_map(slices, values, name, structure, self.software)
                self._save(f"{case}_{name}_{structure}", parametric_map)
        return data

    def _save(self, name: str, dataset: Dataset) -> None:
        write_atomically(self.folder / f"{name}.dcm", dataset.save_as)
