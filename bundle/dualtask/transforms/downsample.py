"""Reduces a scan to the localiser's resolution."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection
from monai.networks.utils import one_hot
from monai.transforms import MapTransform
from torch.nn import functional

from dualtask.structures import STRUCTURES


def downsample_image(image: torch.Tensor, factor: int) -> torch.Tensor:
    """Mean over blocks of ``factor``^3 voxels; the mean also removes the noise that subsampling would alias.

    Args:
        image: [B, C, X, Y, Z]; sides that ``factor`` does not divide are completed by repeating the edge.

    Returns:
        [B, C, ceil(X / factor), ceil(Y / factor), ceil(Z / factor)].
    """
    x, y, z = image.shape[-3:]
    padded = functional.pad(image, [0, -z % factor, 0, -y % factor, 0, -x % factor], mode="replicate")
    return functional.avg_pool3d(padded, factor)


class Downsampled(MapTransform):
    """Block means of an image and the most frequent label of each block, [1, X, Y, Z] each.

    A block counts as ``known`` where its voxels do, all of them.

    Args:
        keys: key of the image.
        label_key: key of the label map (0 background, 1 pancreas, 2 lesion).
        factor: side of a block in voxels.
    """

    def __init__(self, keys: KeysCollection, label_key: str, factor: int) -> None:
        super().__init__(keys)
        self.label_key = label_key
        self.factor = int(factor)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = downsample_image(torch.as_tensor(result[key])[None], self.factor)[0]
        result["known"] = (downsample_image(torch.as_tensor(result["known"])[None], self.factor)[0] > 0.99).float()
        classes = one_hot(torch.as_tensor(result[self.label_key])[None], num_classes=len(STRUCTURES) + 1)
        result[self.label_key] = downsample_image(classes, self.factor).argmax(1).float()
        return result
