"""A DICOM SEG that a viewer asks for says what its segments are, see ``lib.dicom_seg``.

MONAI Label 0.8.5 gives the first name to the smallest value that is present in the mask, the second name to the next:
a mask with a lesion but no healthy pancreas says "pancreas" for the lesion, one without names says "unknown", and an
empty one dies. Whatever the segment is, its code says spleen. And each answer stays behind as a temporary file.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import BackgroundTasks
from monailabel.endpoints import infer

from lib.bundle import Bundle


def apply(bundle: Bundle) -> None:
    """Exchange the conversion that answers an inference, and have its file removed once it is sent."""
    from lib.dicom_seg import write_segmentation  # it needs the bundle's package, which is found by now

    def nifti_to_dicom_seg(series_dir: str, label: str, label_info: Any, **options: Any) -> str:
        descriptor, path = tempfile.mkstemp(suffix=".dcm")
        os.close(descriptor)
        write_segmentation(Path(path), Path(series_dir), Path(label), bundle)
        return path

    infer.nifti_to_dicom_seg = nifti_to_dicom_seg
    if not hasattr(infer.send_response, "__wrapped__"):
        infer.send_response = _leaving_nothing(infer.send_response)


def _leaving_nothing(send: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send)
    def send_response(datastore: Any, result: dict[str, Any], output: str | None, after: BackgroundTasks) -> Any:
        if file := result.get("dicom_seg"):
            after.add_task(os.unlink, file)
        return send(datastore, result, output, after)

    return send_response
