"""Where predictions lie on disk, and how they are read beside their reference."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import FolderLayout, MetaTensor

from dualtask.errors import InputError
from dualtask.scans.reading import read_volume
from dualtask.scans.voxels import check_label

_LABELS = (0, 1, 2)
_AFFINE_TOLERANCE = 1e-2
"""mm per voxel; viewers write affines in single precision."""


def case_name(image: str | os.PathLike[str]) -> str:
    """Name of the case of a scan: its file or folder without the extension."""
    return Path(FolderLayout("").filename(os.path.abspath(image))).name


def prediction_path(
    image: str | os.PathLike[str], predictions_dir: str | os.PathLike[str], postfix: str = "seg"
) -> Path:
    """Path that MONAI's ``SaveImaged(separate_folder=False)`` gives to the label map of a scan.

    Args:
        image: the scan, a file or the folder of a DICOM series.
        predictions_dir: ``output_dir`` of ``SaveImaged``.
        postfix: ``output_postfix`` of ``SaveImaged``.
    """
    return Path(FolderLayout(str(predictions_dir), postfix, ".nii.gz").filename(os.path.abspath(image)))


def read_label_maps(
    case: Mapping[str, Any], predictions_dir: str | os.PathLike[str], postfix: str = "seg"
) -> tuple[MetaTensor, MetaTensor]:
    """Read the reference and the prediction of a case.

    Args:
        case: paths ``image`` and ``label``.
        predictions_dir, postfix: see :func:`prediction_path`.

    Returns:
        reference and prediction, float32 [1, X, Y, Z] in stored order, with affine voxel -> mm (RAS+).

    Raises:
        InputError: the case has no label, or one of the files is absent, damaged, holds values other than 0, 1 and 2,
            or the prediction lies on another grid than the label.
    """
    if not case.get("label"):
        raise InputError(f"{case['image']} has no label to compare with: name one in the list of cases.")
    path = prediction_path(case["image"], predictions_dir, postfix)
    if not path.exists():
        raise InputError(f"{path} does not exist: run the inference on {case['image']} first.")
    reference, prediction = read_volume(case["label"]), read_volume(path)
    if prediction.shape != reference.shape:
        ours, theirs = (" x ".join(map(str, volume.shape[1:])) for volume in (prediction, reference))
        raise InputError(
            f"{path} has {ours} voxels but the label {case['label']} has {theirs}: "
            "write predictions in the geometry of the scan."
        )
    if not np.allclose(prediction.affine, reference.affine, atol=_AFFINE_TOLERANCE):
        raise InputError(
            f"{path} lies elsewhere in space than the label {case['label']}: "
            "write predictions in the geometry of the scan."
        )
    check_label(reference, reference, str(case["label"]), _LABELS)
    check_label(prediction, reference, str(path), _LABELS)
    return reference, prediction
