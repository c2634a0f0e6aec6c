"""Reduces a scan to the localiser's resolution."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
from monai.config import KeysCollection
from monai.networks.utils import one_hot
from monai.transforms import MapTransform
from torch.nn import functional


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
    """Block means of an image and the most frequent class of each block, [1, X, Y, Z] each.

    A block counts as ``known`` where its voxels do, all of them.

    Args:
        keys: key of the image.
        label_keys: keys of the label maps, of whole numbers from -1 (class not known) on.
        factor: side of a block in voxels.
    """

    def __init__(self, keys: KeysCollection, label_keys: Sequence[str], factor: int) -> None:
        super().__init__(keys)
        self.label_keys = tuple(label_keys)
        self.factor = int(factor)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = downsample_image(torch.as_tensor(result[key])[None], self.factor)[0]
        result["known"] = (downsample_image(torch.as_tensor(result["known"])[None], self.factor)[0] > 0.99).float()
        for key in self.label_keys:
            classes = torch.as_tensor(result[key])[None] + 1
            shares = downsample_image(one_hot(classes, num_classes=int(classes.max()) + 1), self.factor)
            result[key] = shares.argmax(1).float() - 1
        return result
