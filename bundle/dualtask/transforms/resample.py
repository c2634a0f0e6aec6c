"""Brings a scan and its maps onto the network's grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Spacing, SpatialResample
from torch.nn import functional


class ResampleToSpacingd(MapTransform):
    """Resamples an image to a spacing without aliasing, and further maps onto the image's new grid.

    Interpolating between single voxels would throw away most of those that a coarser voxel holds, and keep their
    noise: first the means of whole blocks are taken, as many voxels as fit into a new one, then those are interpolated.
    It is also faster, since the interpolation reads fewer voxels.

    Args:
        keys: keys of the maps [C, X, Y, Z], MetaTensors on one grid; the first is the image.
        spacing: new voxel sides in mm.
        mode: how each map is interpolated, "bilinear" (as the image, whatever is named for it) or "nearest".
        allow_missing_keys: whether further maps may be absent.
    """

    def __init__(
        self, keys: KeysCollection, spacing: Sequence[float], mode: Sequence[str], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.spacing = tuple(float(side) for side in spacing)
        self.mode = tuple(mode)
        self.to_spacing = Spacing(self.spacing, mode="bilinear", padding_mode="border", dtype=torch.float32)
        self.to_grid = SpatialResample(padding_mode="border", dtype=torch.float32)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        image_key, *_ = self.keys
        image = self.to_spacing(block_means(result[image_key], self.spacing))
        for key, mode in self.key_iterator(result, self.mode):
            if key != image_key:
                source = result[key] if mode == "nearest" else block_means(result[key], self.spacing)
                result[key] = self.to_grid(source, dst_affine=image.affine, spatial_size=image.shape[1:], mode=mode)
        result[image_key] = image
        return result


def block_means(image: MetaTensor, spacing: Sequence[float]) -> MetaTensor:
    """Means over blocks of as many voxels as fit into one of a coarser spacing; the last block may hold fewer.

    Args:
        image: [C, X, Y, Z].
        spacing: coarser voxel sides in mm.

    Returns:
        [C, ceil(X / f), ...] with the affine of the blocks' centres; the image itself where no side is half as long.
    """
    # A block of rounding errors more than a voxel is still that voxel.
    factors = [max(int(side / own + 1e-3), 1) for side, own in zip(spacing, image.pixdim.tolist(), strict=True)]
    if max(factors) == 1:
        return image
    means = functional.avg_pool3d(image.as_tensor()[None], factors, ceil_mode=True, count_include_pad=False)[0]
    to_block = np.eye(4)
    to_block[:3, :3] = np.diag(factors)
    to_block[:3, 3] = [(factor - 1) / 2 for factor in factors]
    meta = {key: value for key, value in image.meta.items() if key != "affine"}
    return MetaTensor(means, affine=np.asarray(image.affine) @ to_block, meta=meta)
