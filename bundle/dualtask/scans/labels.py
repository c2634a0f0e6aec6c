"""Label maps as they are stored at a site, brought onto their scan and to the values that the bundle knows."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from dualtask.errors import InputError
from dualtask.scans.reading import read_volume
from dualtask.scans.voxels import check_label
from dualtask.structures import STRUCTURES

LABEL_NAMES = ("background", *STRUCTURES)
"""What the values 0, 1 and 2 of the bundle's label maps mean."""

DECATHLON_LABELS: Mapping[str, str] = MappingProxyType({str(value): name for value, name in enumerate(LABEL_NAMES)})
"""The label map of the Medical Segmentation Decathlon, Task07, which is the bundle's own."""


def read_label(
    path: str | os.PathLike[str],
    scan: MetaTensor,
    label_map: Mapping[str, str] = DECATHLON_LABELS,
    label_axes: str | None = None,
    grid: str = "its scan",
) -> MetaTensor:
    """Read a label map.

    Args:
        path: a NIfTI or NRRD file.
        scan: [1, X, Y, Z] with affine voxel -> mm (RAS+), the grid that the label must lie on.
        label_map: stored value -> one of ``LABEL_NAMES``; names every value that may occur.
        label_axes: directions in which the stored axes run, such as "LAI", for labels whose own affine does not fit
            their scan; such a label lies on the scan's grid voxel by voxel. None trusts the affine.
        grid: what ``scan`` is to the reader of a refusal, see ``check_label``.

    Returns:
        float32 [1, X, Y, Z] on the grid of the scan: 0 background, 1 pancreas, 2 lesion.

    Raises:
        InputError: the file is refused, holds other values or lies on another grid than the scan.
    """
    values = check_label_map(label_map, str(path))
    label = read_volume(path)
    if label_axes is not None:
        label = _turn(label, check_axes(label_axes, str(path)), scan)
    check_label(label, scan, str(path), values, grid)
    mapped = torch.zeros_like(label)
    for value, name in values.items():
        mapped[label == value] = LABEL_NAMES.index(name)
    return mapped


def read_case_label(case: Mapping[str, Any], scan: MetaTensor, grid: str = "its scan") -> MetaTensor:
    """Read the label map of a case, stored as the case says: its ``label``, ``label_map`` and ``label_axes``.

    Args:
        case: of a list of cases.
        scan, grid, and what is returned and raised: see :func:`read_label`.
    """
    return read_label(case["label"], scan, case.get("label_map", DECATHLON_LABELS), case.get("label_axes"), grid)


def check_label_map(label_map: Mapping[str, str], source: str) -> dict[int, str]:
    """The label map with its values as integers.

    Raises:
        InputError: a value is no integer or a name is none of ``LABEL_NAMES``.
    """
    known = ", ".join(LABEL_NAMES)
    try:
        values = {int(value): name for value, name in label_map.items()}
    except (ValueError, AttributeError) as error:
        raise InputError(f"{source} has a label map without whole numbers: map each to one of {known}.") from error
    if strange := [str(name) for name in values.values() if name not in LABEL_NAMES]:
        raise InputError(f"{source} has the label name {strange[0]}: map each value to one of {known}.")
    return values


def check_axes(axes: str, source: str) -> str:
    """Refuse what is no triple of directions, one of each pair of R/L, A/P and S/I.

    Raises:
        InputError: names the source.
    """
    if len(axes) != 3 or not all(len(set(axes) & set(pair)) == 1 for pair in ("RL", "AP", "SI")):
        raise InputError(f"{source} has the label axes {axes}: give three directions such as LAI.")
    return axes


def _turn(label: MetaTensor, axes: str, scan: MetaTensor) -> MetaTensor:
    """The label with its axes in the order and direction of the scan's, and the scan's affine."""
    orientations = nib.orientations
    turn = orientations.ornt_transform(orientations.axcodes2ornt(axes), nib.io_orientation(np.asarray(scan.affine)))
    turned = orientations.apply_orientation(np.asarray(label[0]), turn)
    meta = {key: value for key, value in label.meta.items() if key != "affine"}
    return MetaTensor(torch.as_tensor(turned.copy())[None], affine=scan.affine, meta=meta)


class LoadLabeld(MapTransform):
    """Replaces the path of a label map by its voxels on the grid of the scan, see :func:`read_label`.

    A case may say how its label is stored: ``label_map`` and ``label_axes`` (for the key "label"), which are used up.

    Args:
        keys: keys of the label maps.
        image_key: key of the scan, already read.
        allow_missing_keys: pass over scans without a label.

    Raises:
        InputError: the file is refused, holds other values or lies on another grid than the scan.
    """

    def __init__(self, keys: KeysCollection, image_key: str, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            label_map, axes = result.pop(f"{key}_map", DECATHLON_LABELS), result.pop(f"{key}_axes", None)
            result[key] = read_label(result[key], result[self.image_key], label_map, axes)
        return result
