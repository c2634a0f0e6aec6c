"""Turns a label map into the masks of the nested structures."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.transforms import MapTransform

from dualtask.structures import structure_masks


class StructureMasksd(MapTransform):
    """Replaces label maps [1, X, Y, Z] by masks float32 [2, X, Y, Z]: whole pancreas, lesion."""

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = structure_masks(result[key])
        return result
