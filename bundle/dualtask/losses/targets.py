"""What the heads are compared with."""

from __future__ import annotations

from typing import NamedTuple

import torch

_NEAR_ORGAN = 0.5
"""Distance to the organ, in truncation distances, up to which lesions are taught."""

_LESION_WEIGHT = 5.0
"""How much more a voxel of a lesion counts than one of its surroundings in a mean error."""


class Targets(NamedTuple):
    """Targets for the structures pancreas and lesion.

    The batch holds two views of every scan: the first half are the first views, the second half the second views of
    the same scans in the same order.

    Attributes:
        masks: [B, 2, X, Y, Z] in {0, 1}.
        distance: [B, 2, X, Y, Z] signed distance / truncation distance in [-1, 1], negative inside.
        sites: uint8 [B, 1, X/s, Y/s, Z/s] sites of the contrastive term, see :mod:`dualtask.contrast`.
        annotated: [B, 2], 1 where the structure was annotated in the scan; supervised terms leave out the rest, so
            that a scan without labels does not teach that it holds no lesion.
    """

    masks: torch.Tensor
    distance: torch.Tensor
    sites: torch.Tensor
    annotated: torch.Tensor

    def supervision(self) -> torch.Tensor:
        """How much each voxel teaches: float [B, 2, X, Y, Z], 0 where a label says nothing.

        The pancreas is taught everywhere. The lesion is taught inside the organ and its near surroundings only, because
        elsewhere the organ decides, and its own voxels count more: lesions are so small that the background would
        drown them. Structures that were not annotated are left out.
        """
        near_organ = (self.distance[:, :1] < _NEAR_ORGAN).float()
        lesion = near_organ * (1 + (_LESION_WEIGHT - 1) * self.masks[:, 1:])
        return torch.cat([torch.ones_like(near_organ), lesion], dim=1) * self.annotated[:, :, None, None, None]
