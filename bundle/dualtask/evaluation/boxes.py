"""The part of a scan where reference and prediction lie; the rest takes time and says nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.transforms.utils import generate_spatial_bounding_box


def box_of_union(*masks: torch.Tensor, margin: Sequence[int] | int = 0) -> tuple[slice, ...]:
    """Box of the union of masks, grown by a margin within the volume.

    Args:
        masks: bool [X, Y, Z], at least one voxel in all.
        margin: in voxels, for each axis or for all.
    """
    union = torch.stack(masks).any(dim=0)
    start, end = generate_spatial_bounding_box(union[None], margin=margin, allow_smaller=True)
    return tuple(slice(low, high) for low, high in zip(start, end, strict=True))
