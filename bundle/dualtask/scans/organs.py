"""Label maps of the organs around the pancreas, which training may teach beside it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

from dualtask.scans.reading import read_volume
from dualtask.scans.voxels import check_label

NOT_KNOWN = -1.0
"""Class of the voxels of scans whose organs were not labelled."""


class LoadOrgans(Transform):
    """Replaces the path of a label map of organs by its voxels, float32 [1, X, Y, Z], as they are stored.

    A scan without one gets a map that says :data:`NOT_KNOWN` everywhere.

    Args:
        key: key of the label map, which may be absent.
        image_key: key of the scan, already read.
        classes: number of classes; the values 0 (none of the organs) to ``classes`` - 1 may occur.

    Raises:
        InputError: the file is refused, holds other values or lies on another grid than the scan.
    """

    def __init__(self, key: str, image_key: str, classes: int) -> None:
        self.key = key
        self.image_key = image_key
        self.classes = int(classes)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        scan, path = result[self.image_key], result.get(self.key)
        if path is None:
            result[self.key] = torch.full_like(scan, NOT_KNOWN)
            return result
        result[self.key] = read_volume(path)
        check_label(result[self.key], scan, str(path), range(self.classes))
        return result
