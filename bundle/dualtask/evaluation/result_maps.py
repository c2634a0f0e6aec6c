"""Reads what inference leaves beside the label maps: probabilities, distances, and one uncertainty for each scan."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor, NibabelReader
from monai.transforms import LoadImage

from dualtask.errors import InputError
from dualtask.evaluation.label_maps import prediction_path
from dualtask.files import read_table
from dualtask.scans.damage import refusing_damage
from dualtask.scans.voxels import check_grid
from dualtask.structures import STRUCTURES

_SCAN_TABLE = "scans.csv"
_ROUNDING = 1e-3
"""By which interpolation may leave [0, 1]."""


def read_probabilities(
    case: Mapping[str, Any], predictions_dir: str | os.PathLike[str], reference: MetaTensor
) -> torch.Tensor | None:
    """Probability maps ``<case>_probability.nii.gz`` of a case.

    Args:
        case: with the path ``image``.
        predictions_dir: folder of the maps.
        reference: [1, X, Y, Z] with affine, on the grid that the maps must have.

    Returns:
        float32 [2, X, Y, Z], one channel for each of ``STRUCTURES``, or None where there is no such file.

    Raises:
        InputError: the file is damaged, has other channels, other values than [0, 1] or lies on another grid.
    """
    return _read_maps("probability", case, predictions_dir, reference, lambda maps: abs(maps - 0.5) <= 0.5 + _ROUNDING)


def read_distances(
    case: Mapping[str, Any], predictions_dir: str | os.PathLike[str], reference: MetaTensor
) -> torch.Tensor | None:
    """Maps ``<case>_distance.nii.gz`` of signed distances of a case, in mm; otherwise as :func:`read_probabilities`."""
    return _read_maps("distance", case, predictions_dir, reference, torch.isfinite)


def _read_maps(
    name: str,
    case: Mapping[str, Any],
    predictions_dir: str | os.PathLike[str],
    reference: MetaTensor,
    possible: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor | None:
    path = prediction_path(case["image"], predictions_dir, name)
    if not path.exists():
        return None
    with refusing_damage(path, "cannot be read to its end, it is damaged", "run the inference again"):
        maps = LoadImage(ensure_channel_first=True, dtype=torch.float32)(str(path), reader=NibabelReader())
    if len(maps) != len(STRUCTURES) or not bool(possible(maps).all()):
        raise InputError(f"{path} is no {name} of {' and '.join(STRUCTURES)}: run the inference again.")
    check_grid(maps[:1], reference, str(path), f"the label {case['label']}")
    return maps.as_tensor()


def read_scan_uncertainties(predictions_dir: str | os.PathLike[str]) -> dict[str, dict[str, float]]:
    """Case -> structure -> uncertainty of ``scans.csv``, empty where there is no such file.

    Raises:
        InputError: the file is not the one that inference writes.
    """
    path = Path(predictions_dir) / _SCAN_TABLE
    if not path.is_file():
        return {}

    def uncertainties(row: Mapping[str, str]) -> tuple[str, dict[str, float]]:
        return row["case"], {name: float(row[column]) for name, column in columns.items()}

    columns = {name: f"uncertainty_{name}" for name in STRUCTURES}
    kind = "the table of scans of an inference"
    return dict(read_table(path, ["case", *columns.values()], uncertainties, kind, maker="inference"))
