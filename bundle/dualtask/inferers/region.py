"""The region of interest around a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

Region = tuple[slice, ...]
"""One slice an axis, of X, Y, Z."""


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest 26-connected component of a boolean mask [X, Y, Z]; an empty mask stays empty."""
    return heaviest_component(mask, None)


def heaviest_component(mask: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """The 26-connected component of a boolean mask with the largest sum of a weight; an empty mask stays empty.

    Args:
        mask: [X, Y, Z].
        weight: [X, Y, Z], not negative; None counts voxels.
    """
    components, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count < 2:
        return mask
    return components == 1 + np.bincount(components.ravel(), None if weight is None else weight.ravel())[1:].argmax()


def region_of_interest(mask: np.ndarray, minimum: Sequence[int], margin: Sequence[int]) -> Region:
    """The box of a mask with a margin, enlarged about its centre to a minimum size and moved inside the array.

    The minimum is the size of the crops that the network was trained on: its normalisation layers take statistics
    over the whole region, so that a much smaller one would look unfamiliar.

    Args:
        mask: [X, Y, Z], not empty.
        minimum: smallest sides in voxels.
        margin: voxels added on either side of the box.
    """
    sides = []
    for box, shape, least, extra in zip(
        ndimage.find_objects(mask.astype(np.uint8))[0], mask.shape, minimum, margin, strict=True
    ):
        size = min(max(box.stop - box.start + 2 * extra, least), shape)
        start = min(max((box.start + box.stop - size) // 2, 0), shape - size)
        sides.append(slice(start, start + size))
    return tuple(sides)


def enlarged(image: torch.Tensor, minimum: Sequence[int]) -> tuple[torch.Tensor, Region]:
    """An image with zeros around it to a minimum size, and where it lies therein.

    Args:
        image: [B, C, X, Y, Z], 0 where nothing is known.
        minimum: smallest sides in voxels; the image lies in their middle.
    """
    margins, place = [], []
    for shape, least in zip(image.shape[2:], minimum, strict=True):
        missing = max(least - shape, 0)
        before = missing // 2
        margins.append((before, missing - before))
        place.append(slice(before, before + shape))
    return functional.pad(image, [side for margin in reversed(margins) for side in margin]), tuple(place)
