"""Where predictions lie on disk, and how they are read beside their reference."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.data import MetaTensor

from dualtask.errors import InputError
from dualtask.scans.labels import read_case_label
from dualtask.scans.reading import read_volume
from dualtask.scans.voxels import check_label
from dualtask.scans.writing import case_name


def prediction_path(
    image: str | os.PathLike[str], predictions_dir: str | os.PathLike[str], postfix: str = "seg"
) -> Path:
    """Path that ``SaveResultd`` of ``configs/inference.json`` gives to the label map of a scan.

    Args:
        image: the scan, a file or the folder of a DICOM series.
        predictions_dir: ``output_dir`` of ``SaveResultd``.
        postfix: ``output_postfix`` of ``SaveResultd``.
    """
    return Path(predictions_dir) / f"{case_name(image)}_{postfix}.nii.gz"


def read_label_maps(
    case: Mapping[str, Any], predictions_dir: str | os.PathLike[str], postfix: str = "seg"
) -> tuple[MetaTensor, MetaTensor]:
    """Read the reference and the prediction of a case.

    Args:
        case: paths ``image`` and ``label``, and how the label is stored, ``label_map`` and ``label_axes``, where it is
            not in the bundle's own way (see ``dualtask.scans.labels.read_label``).
        predictions_dir, postfix: see :func:`prediction_path`.

    Returns:
        reference and prediction, float32 [1, X, Y, Z] in stored order, with affine voxel -> mm (RAS+): 0 background,
        1 pancreas, 2 lesion.

    Raises:
        InputError: the case has no label, or one of the files is absent, damaged, holds unknown values, or the
            prediction lies on another grid than the label.
    """
    if not case.get("label"):
        raise InputError(f"{case['image']} has no label to compare with: name one in the list of cases.")
    path = prediction_path(case["image"], predictions_dir, postfix)
    if not path.exists():
        raise InputError(f"{path} does not exist: run the inference on {case['image']} first.")
    prediction = read_volume(path)
    check_label(prediction, prediction, str(path), allowed=(0, 1, 2))
    # The grid of the prediction is the one that counts: a label that is turned to its scan has no affine of its own.
    return read_case_label(case, prediction, grid=f"the prediction {path}"), prediction
