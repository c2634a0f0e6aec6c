"""Takes back lesions that are too small to be believed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from dualtask.units import MM3_PER_ML

_CONNECTIVITY = np.ones((3, 3, 3))


def keep_large_lesions(label: torch.Tensor, voxel_ml: float, least_ml: float, least_share: float) -> torch.Tensor:
    """The label map with the lesion components that are too small as pancreas; the organ stays as it is.

    Args:
        label: integer [1, X, Y, Z], values 0 background, 1 pancreas, 2 lesion.
        voxel_ml: volume of a voxel.
        least_ml, least_share: see :class:`LesionComponentsd`.
    """
    result = label.clone()
    lesion = (label[0] == 2).cpu().numpy()
    for box in ndimage.find_objects(lesion.astype(np.uint8)):
        components, _ = ndimage.label(lesion[box], _CONNECTIVITY)
        voxels = np.bincount(components.ravel())
        voxels[0] = 0  # the rest of the box
        small = (voxels * voxel_ml < least_ml) | (voxels < least_share * voxels.max())
        small[0] = False
        result[(0, *box)][torch.as_tensor(small[components], device=label.device)] = 1
    return result


class LesionComponentsd(MapTransform):
    """Makes pancreas of lesion components (26-connected) that are too small.

    One rule for lesions apart from that of the organ: what is taken back stays part of the organ, and nothing else
    changes. Both bounds are inclusive: a component of exactly the bound is kept.

    Args:
        keys: keys of label maps, MetaTensors [1, X, Y, Z] whose affine gives the size of a voxel.
        least_ml: volume in ml below which a component is taken back; 0 takes none back for its volume.
        least_share: share of the largest component's volume, in [0, 1], below which one is taken back; 0 takes none
            back for its share, 1 keeps the largest alone (and those of the same size).

    Raises:
        ValueError: a bound is negative or the share above 1.
    """

    def __init__(self, keys: KeysCollection, least_ml: float = 0.0, least_share: float = 0.0) -> None:
        super().__init__(keys)
        if least_ml < 0 or not 0 <= least_share <= 1:
            raise ValueError(f"least_ml {least_ml} must not be negative, least_share {least_share} lies in [0, 1].")
        self.least_ml = float(least_ml)
        self.least_share = float(least_share)

    def __call__(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, MetaTensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            label = result[key]
            voxel_ml = abs(float(torch.linalg.det(label.affine[:3, :3]))) / MM3_PER_ML
            result[key] = keep_large_lesions(label, voxel_ml, self.least_ml, self.least_share)
        return result
