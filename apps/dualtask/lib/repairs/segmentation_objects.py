"""A DICOM SEG that a viewer asks for says what its segments are, see ``lib.dicom_seg``.

MONAI Label 0.8.5 gives the first name to the smallest value that is present in the mask, the second name to the next:
a mask with a lesion but no healthy pancreas says "pancreas" for the lesion, one without names says "unknown", and an
empty one dies. Whatever the segment is, its code says spleen.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from monailabel.endpoints import infer

from lib.bundle import Bundle


def apply(bundle: Bundle) -> None:
    """Exchange the conversion that answers an inference."""
    from lib.dicom_seg import write_segmentation  # it needs the bundle's package, which is found by now

    def nifti_to_dicom_seg(series_dir: str, label: str, label_info: Any, **options: Any) -> str:
        descriptor, path = tempfile.mkstemp(suffix=".dcm")
        os.close(descriptor)
        write_segmentation(Path(path), Path(series_dir), Path(label), bundle)
        return path

    infer.nifti_to_dicom_seg = nifti_to_dicom_seg
