"""From maps on the network's grid to the grid of the scan, through the box where they say something.

The pancreas takes a few per cent of an abdominal scan. Resampling and labelling the rest as well would take most of the
time and of the memory of inference.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, SpatialResample, generate_spatial_bounding_box
from monai.utils import ImageMetaKey, convert_to_tensor

_NAME = ImageMetaKey.FILENAME_OR_OBJ


class BoxToScanGridd(MapTransform):
    """Resamples the box of the network's grid where the first map is not 0 onto the voxels of the scan.

    Args:
        keys: keys of maps [C, X, Y, Z] on the grid of the preprocessed image; the first decides on the box.
        image_key: key of that image, a MetaTensor that knows the scan's own grid.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key
        self.resample = SpatialResample(mode="bilinear", padding_mode="border", dtype=torch.float32)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Maps become MetaTensors [C, x, y, z], whose affine places them among the voxels of the scan."""
        result = dict(data)
        keys = list(self.key_iterator(result))
        affine = np.asarray(result[self.image_key].affine)
        scan_affine, scan_shape = _scan_grid(result[self.image_key])
        # One voxel more on either side, so that the maps fade to what lies outside. Maps that say nothing keep a voxel.
        bounds = zip(*generate_spatial_bounding_box(result[keys[0]], margin=1, allow_smaller=True), strict=True)
        box = [(low, max(high, low + 1)) for low, high in bounds]
        start, size = _cover(box, np.linalg.solve(scan_affine, affine), scan_shape)
        source = tuple(slice(*sides) for sides in box)
        for key in keys:
            values = convert_to_tensor(result[key], track_meta=False)[(..., *source)]
            part = MetaTensor(values, affine=_moved(affine, [low for low, _ in box]))
            result[key] = self.resample(part, dst_affine=_moved(scan_affine, start), spatial_size=size)
        return result


class BoxIntoScand(MapTransform):
    """Puts what :class:`BoxToScanGridd` cut out back among the voxels of the whole scan.

    Args:
        keys: keys of MetaTensors [C, x, y, z].
        outside: key -> value of each channel in the voxels outside the box, where it is not 0.
        image_key: as in :class:`BoxToScanGridd`.
    """

    def __init__(
        self, keys: KeysCollection, outside: Mapping[str, Sequence[float]] | None = None, image_key: str = "image"
    ) -> None:
        super().__init__(keys)
        self.outside = dict(outside or {})
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Tensors become MetaTensors [C, X, Y, Z] with the affine of the scan, and its name if it has one."""
        result = dict(data)
        affine, shape = _scan_grid(result[self.image_key])
        # A scan that was handed over as an array has no name.
        name = {key: value for key, value in result[self.image_key].meta.items() if key == _NAME}
        for key in self.key_iterator(result):
            part = result[key]
            start = np.linalg.solve(affine, np.asarray(part.affine)[:, 3]).round().astype(int)[:3]
            outside = torch.as_tensor(self.outside.get(key, [0] * len(part))).to(part.dtype)
            # In the memory order of files, which spares the writer to turn it over.
            whole = outside[:, None, None, None].repeat(1, *reversed(shape)).to(part.device).permute(0, 3, 2, 1)
            box = tuple(slice(low, low + side) for low, side in zip(start, part.shape[1:], strict=True))
            whole[(..., *box)] = part.as_tensor()
            result[key] = MetaTensor(whole, affine=affine, meta=name)
        return result


def _scan_grid(image: MetaTensor) -> tuple[np.ndarray, tuple[int, ...]]:
    """Affine and shape [X, Y, Z] of the scan that an image was made of."""
    return np.asarray(image.meta["original_affine"], dtype=float), tuple(map(int, image.meta["spatial_shape"]))


def _moved(affine: np.ndarray, start: Sequence[int]) -> np.ndarray:
    """Affine of the part of a grid that begins at the voxel ``start``."""
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ np.asarray(start) + affine[:3, 3]
    return moved


def _cover(
    box: Sequence[tuple[int, int]], to_scan: np.ndarray, shape: Sequence[int]
) -> tuple[list[int], tuple[int, ...]]:
    """First voxel and size of the part of the scan that a box of the network's grid covers, at least one voxel."""
    corners = np.array([[*corner, 1] for corner in product(*((low - 0.5, high - 0.5) for low, high in box))])
    reached = (corners @ to_scan.T)[:, :3]
    last = np.asarray(shape) - 1
    low = np.clip(np.ceil(reached.min(0)), 0, last).astype(int)
    high = np.clip(np.floor(reached.max(0)), low, last).astype(int)
    return low.tolist(), tuple((high - low + 1).tolist())
