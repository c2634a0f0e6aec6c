"""Adds the sites of the contrastive term to a training sample."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dualtask.contrast import sample_sites
from dualtask.structures import STRUCTURES


class ContrastSitesd(MapTransform):
    """For each key with structure masks [2, X, Y, Z] adds ``<key>_sites`` [1, x, y, z], see ``sample_sites``.

    Args:
        keys: keys of the masks.
        stride: of the network's bottleneck.
    """

    def __init__(self, keys: KeysCollection, stride: int = 8) -> None:
        super().__init__(keys)
        self.stride = int(stride)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            lesion = torch.as_tensor(result[key])[STRUCTURES.index("lesion")]
            result[f"{key}_sites"] = sample_sites(lesion, self.stride)[None]
        return result
