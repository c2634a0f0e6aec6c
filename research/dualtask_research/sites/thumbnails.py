"""Small pictures of whole slices, in which a label that is mirrored or shifted meets the eye."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image
from skimage.segmentation import find_boundaries
from skimage.transform import resize

from dualtask.report.colours import STRUCTURE_COLOURS
from dualtask.report.overlays import WINDOW_HU

_MM_PER_PIXEL = 2.0
_HATCH = (5, 0.35, 0.15)
"""Pixels from line to line, brightness of the lines and between them, where a scan is not known."""

_PLANES = ((2, 0, 1), (1, 0, 2))
"""Axial and coronal: the axis (of R, A, S) across the plane, along the picture and up the picture."""


def draw_thumbnail(scan: np.ndarray, label: np.ndarray | None, spacing: np.ndarray) -> bytes:
    """Draw an axial and a coronal slice side by side, through the middle of the organ or, without one, of the scan.

    Args:
        scan: HU [X, Y, Z], axes along R, A and S; NaN where it is not known, which is hatched.
        label: 0 background, 1 pancreas, 2 lesion, on the same grid; drawn as outlines.
        spacing: mm [3].

    Returns:
        a PNG of 2 mm a pixel; the patient's right is at the left.
    """
    marked = np.argwhere((label > 0) & ~np.isnan(scan)) if label is not None else np.empty((0, 3))
    # One of the slices that are known, which a median between two of them need not be.
    point = np.sort(marked, axis=0)[len(marked) // 2] if len(marked) else np.array(scan.shape) // 2
    planes = [_draw(scan, label, spacing, point, *axes) for axes in _PLANES]
    height = max(len(plane) for plane in planes)
    padded = [np.pad(plane, ((0, height - len(plane)), (0, 2), (0, 0))) for plane in planes]
    buffer = io.BytesIO()
    picture = Image.fromarray(np.hstack(padded))
    picture.quantize(64, method=Image.Quantize.MAXCOVERAGE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _draw(
    scan: np.ndarray,
    label: np.ndarray | None,
    spacing: np.ndarray,
    point: np.ndarray,
    across: int,
    along: int,
    up: int,
) -> np.ndarray:
    """RGB bytes [height, width, 3]."""
    # The picture runs from the patient's right to the left and from the head or front down.
    plane = np.take(scan, point[across], axis=across).T[::-1, ::-1]
    size = [max(round(plane.shape[n] * spacing[axis] / _MM_PER_PIXEL), 1) for n, axis in enumerate((up, along))]
    low, high = WINDOW_HU
    windowed = np.clip((np.nan_to_num(plane, nan=low) - low) / (high - low), 0, 1)
    grey = resize(windowed, size, order=1, anti_aliasing=True)
    unknown = resize(np.isnan(plane), size, order=0, anti_aliasing=False)
    step, line, between = _HATCH
    grey = np.where(unknown, np.where(np.indices(size).sum(axis=0) % step == 0, line, between), grey)
    picture = np.repeat(grey[..., None], 3, axis=2)
    if label is not None:
        values = resize(np.take(label, point[across], axis=across).T[::-1, ::-1], size, order=0, anti_aliasing=False)
        for value, colour in enumerate(STRUCTURE_COLOURS.values(), start=1):
            picture[find_boundaries(values >= value, mode="inner")] = to_rgb(colour)
    return (255 * picture).round().astype(np.uint8)
