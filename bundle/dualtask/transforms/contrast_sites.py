"""Adds the sites of the contrastive term to a training sample."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dualtask.contrast import sample_sites
from dualtask.structures import STRUCTURES
from dualtask.transforms.downsample import downsample_image


class ContrastSitesd(MapTransform):
    """For each key with structure masks [2, X, Y, Z] adds ``<key>_sites`` [1, x, y, z], see ``sample_sites``.

    Sites of which the scan shows less than half are left out.

    Args:
        keys: keys of the masks.
        spacing: voxel sides in mm.
        stride: of the network's bottleneck.
    """

    def __init__(self, keys: KeysCollection, spacing: Sequence[float], stride: int = 8) -> None:
        super().__init__(keys)
        self.spacing = tuple(float(side) for side in spacing)
        self.stride = int(stride)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            lesion = torch.as_tensor(result[key])[STRUCTURES.index("lesion")]
            sites = sample_sites(lesion, self.stride, self.spacing)[None]
            known = downsample_image(torch.as_tensor(result["known"])[None], self.stride)[0]
            result[f"{key}_sites"] = sites * (known >= 0.5)
        return result
