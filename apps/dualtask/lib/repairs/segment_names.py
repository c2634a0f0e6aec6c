"""Segments of a DICOM SEG carry the name of their value.

MONAI Label 0.8.5 gives the first name to the smallest value that is present in the mask, the second name to the next:
a mask with a lesion but no healthy pancreas says "pancreas" for the lesion. Without names it writes "unknown".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.transforms import LoadImage
from monailabel.datastore import dicom
from monailabel.datastore.utils import convert
from monailabel.endpoints import infer

from lib.bundle import Bundle


def apply(bundle: Bundle) -> None:
    """Let both callers of MONAI Label's conversion pass one entry of ``label_info`` per value present, in order."""
    names = {value: name for name, value in bundle.labels.items()}

    def nifti_to_dicom_seg(series_dir: str, label: str, label_info: list[dict[str, Any]] | None, **options: Any) -> str:
        given = {info.get("name"): info for info in label_info or []}
        present = [names.get(int(value), "unknown") for value in np.unique(LoadImage()(label)) if value]
        ordered = [{"model_name": bundle.name, **given.get(name, {}), "name": name} for name in present]
        return convert.nifti_to_dicom_seg(series_dir, label, ordered, **options)

    for caller in (dicom, infer):
        caller.nifti_to_dicom_seg = nifti_to_dicom_seg
