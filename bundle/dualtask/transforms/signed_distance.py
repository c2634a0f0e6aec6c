"""Adds the regression target to a training sample."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dualtask.distances import signed_distance


class SignedDistanced(MapTransform):
    """Regression target of structure masks, to be computed after augmentation so that it is exact.

    For each key with masks [S, X, Y, Z] adds ``<key>_distance``: float32 [S, X, Y, Z], the truncated signed distance
    divided by the structure's truncation distance, in [-1, 1], negative inside (method: arXiv 2505.01644, regression
    head).

    Args:
        keys: keys of the masks.
        spacing: voxel sides in mm.
        truncation: truncation distance of each structure in mm. A lesion's is shorter than the organ's: with one for
            both, the deepest voxel of most lesions would be a third of the way to -1.
    """

    def __init__(self, keys: KeysCollection, spacing: Sequence[float], truncation: Sequence[float]) -> None:
        super().__init__(keys)
        self.spacing = tuple(float(side) for side in spacing)
        self.truncation = tuple(float(limit) for limit in truncation)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            masks = np.asarray(result[key]) > 0.5
            distances = [
                signed_distance(mask, self.spacing, limit) / limit
                for mask, limit in zip(masks, self.truncation, strict=True)
            ]
            result[f"{key}_distance"] = torch.from_numpy(np.stack(distances))
        return result
