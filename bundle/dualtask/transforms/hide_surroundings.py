"""Hides surroundings of whole scans, so that partly known ones do not stand out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable, Transform

_AXIAL = 2


class RandHideSurroundings(Randomizable, Transform):
    """Makes what lies outside a random box around the organ unknown, as exports of a region and slabs are.

    In plane the box is that of the label in the crop, grown on each side by U{0..margin} voxels; a slab keeps all that
    the crop shows in plane. Along the axial axis both keep U{least_slices..all} slices around one that shows the organ.
    A crop without a label keeps half of its sides at a random place. Without such crops a network learns which
    hospital's scans come in boxes, and what their patients have.

    Args:
        image_key: key of the image [1, X, Y, Z]; hidden voxels become 0 in it.
        label_key: key of the label map [1, X, Y, Z], which stays as it is.
        prob: share of the crops.
        margin: largest margin in voxels.
        least_slices: smallest thickness in voxels.
        slabs: share of slabs among these crops.
    """

    def __init__(
        self, image_key: str, label_key: str, prob: float, margin: int, least_slices: int, slabs: float
    ) -> None:
        self.image_key = image_key
        self.label_key = label_key
        self.prob = float(prob)
        self.margin = int(margin)
        self.least_slices = int(least_slices)
        self.slabs = float(slabs)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        if self.R.random() >= self.prob:
            return result
        kept = torch.zeros_like(result["known"])
        kept[(0, *self._box(np.asarray(result[self.label_key])[0] > 0))] = 1
        result["known"] = result["known"] * kept
        result[self.image_key] = result[self.image_key] * kept
        return result

    def _box(self, organ: np.ndarray) -> tuple[slice, ...]:
        box = []
        slab = self.R.random() < self.slabs
        for axis, size in enumerate(organ.shape):
            if slab and axis != _AXIAL:
                box.append(slice(size))
                continue
            shown = np.flatnonzero(organ.any(axis=tuple({0, 1, 2} - {axis})))
            if not len(shown):
                start = self.R.randint(size // 2 + 1)
                box.append(slice(start, start + size // 2))
            elif axis == _AXIAL:
                thickness = self.R.randint(min(self.least_slices, size), size + 1)
                start = self.R.choice(shown) - self.R.randint(thickness)
                box.append(slice(max(start, 0), start + thickness))
            else:
                low, high = self.R.randint(self.margin + 1, size=2)
                box.append(slice(max(shown[0] - low, 0), shown[-1] + 1 + high))
        return tuple(box)
