"""Sites at which the contrastive loss compares embeddings (arXiv 2505.01644, feature-space self-supervision).

The lesion is represented by its skeleton, where embeddings are least mixed with the surroundings, and the surroundings
by the skeleton of a ring around the lesion, which holds the hardest negatives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from skimage.morphology import skeletonize

RING = 1
LESION = 2

_RING_MM = (6.0, 12.0)
"""Smallest and largest thickness of the ring around the lesion, in mm."""

_SMALLEST_SECTION_MM2 = 20.0
"""An axial slice with a smaller area of the region gives no site."""


def sample_sites(
    lesion: torch.Tensor, stride: int, spacing: Sequence[float], generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draw one site per axial slice on the skeleton of the lesion, and one on the skeleton of the ring around it.

    Slices that the 3-D skeleton does not cross take their own 2-D skeleton; slices with less than 20 mm2 of the region
    are skipped. The ring is the lesion dilated by a box, minus the lesion; it is U(6, 12) mm thick, drawn per mask, and
    at least one voxel. (The paper counts voxels, whose meaning changes with the grid.)

    Sites come as a label map of the feature map's size, so that a data loader can collate them. Voxels that share a
    site count once, and a site of both classes counts as lesion: one embedding cannot be its own counterpart.

    Args:
        lesion: [..., X, Y, Z] masks at full resolution, Z axial; values > 0.5 are lesion; leading dimensions are
            sampled independently.
        stride: voxels per site of the feature map along each axis.
        spacing: voxel sides in mm.
        generator: of the CPU; makes the draw reproducible.

    Returns:
        uint8 [..., ceil(X / stride), ceil(Y / stride), ceil(Z / stride)] on the device of ``lesion``: 0 not used,
        ``RING`` or ``LESION``. All zero without a lesion.
    """
    masks = (lesion.detach() > 0.5).cpu().numpy()
    sites = np.zeros((*masks.shape[:-3], *(-(-size // stride) for size in masks.shape[-3:])), dtype=np.uint8)
    for index in np.ndindex(masks.shape[:-3]):
        if not masks[index].any():
            continue
        low, high = _RING_MM
        thickness = low + (high - low) * float(torch.rand((), generator=generator))
        reach = [max(round(thickness / side), 1) for side in spacing]
        window = _window(masks[index], reach)
        mask = masks[index][window]
        ring = ndimage.maximum_filter(mask, size=[2 * r + 1 for r in reach], mode="constant") & ~mask
        least = max(round(_SMALLEST_SECTION_MM2 / (spacing[0] * spacing[1])), 1)
        origin = [part.start for part in window]
        for region, label in ((ring, RING), (mask, LESION)):
            voxels = _one_voxel_per_slice(region, least, generator) + origin
            sites[index][tuple((voxels // stride).T)] = label
    return torch.from_numpy(sites).to(lesion.device)


def embeddings_at(features: torch.Tensor, sites: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Collect the embeddings at the sites of a batch.

    Args:
        features: [B, C, x, y, z].
        sites: [B, 1, x, y, z] from :func:`sample_sites`.

    Returns:
        Embeddings [N, C] and their labels [N].
    """
    labels = sites[:, 0]
    used = labels > 0
    return features.movedim(1, -1)[used], labels[used]


def _window(mask: np.ndarray, margins: Sequence[int]) -> tuple[slice, ...]:
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(slice(max(part.start - m, 0), part.stop + m) for part, m in zip(box, margins, strict=True))


def _one_voxel_per_slice(region: np.ndarray, least: int, generator: torch.Generator | None) -> np.ndarray:
    """Voxels [N, 3] of the region's skeleton, one for each axial slice with at least so many voxels of the region."""
    skeleton = skeletonize(region).astype(bool)
    voxels = []
    for z in np.flatnonzero(np.count_nonzero(region, axis=(0, 1)) >= least):
        # Thinning in 3-D shrinks a round lesion to a point and removes a box of even width altogether.
        plane = skeleton[..., z] if skeleton[..., z].any() else skeletonize(region[..., z])
        if len(candidates := np.argwhere(plane)):
            voxels.append((*candidates[_draw(len(candidates), generator)], z))
    return np.array(voxels, dtype=int).reshape(-1, 3)


def _draw(count: int, generator: torch.Generator | None) -> int:
    return int(torch.randint(count, (), generator=generator))
