"""Whether a label lies on its organ, judged by the scan alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

Mirroring = tuple[bool, bool, bool]
"""Whether the label is mirrored left to right, back to front and feet to head."""

MIRRORINGS: tuple[Mirroring, ...] = tuple(itertools.product((False, True), repeat=3))
AS_STATED = MIRRORINGS[0]

ORGAN_HU = (20.0, 200.0)
"""Mean of a pancreas in any contrast phase; fat and air lie below, bone above."""

_WINDOW_HU = (-160.0, 240.0)
_SHELL_MM = (2.0, 8.0)
_BETTER_HU = 15.0


def contrasts(scan: np.ndarray, organ: np.ndarray, spacing: np.ndarray) -> dict[Mirroring, float]:
    """How much brighter the organ is than the shell around it, for the label and its seven mirror images.

    A pancreas lies in fat: the shell around a label in its place is darker, the one around a misplaced label is not.

    Args:
        scan: HU [X, Y, Z], axes along R, A and S.
        organ: mask of the whole organ on the same grid, not empty.
        spacing: mm [3].

    Returns:
        HU, within the window from -160 to 240, for each of ``MIRRORINGS``.
    """
    inside = np.argwhere(organ)
    margin = np.ceil(_SHELL_MM[1] / spacing).astype(int) + 1
    low = np.maximum(inside.min(axis=0) - margin, 0)
    high = np.minimum(inside.max(axis=0) + margin + 1, organ.shape)
    box = tuple(slice(*limits) for limits in zip(low, high, strict=True))
    distance = ndimage.distance_transform_edt(~organ[box], sampling=spacing)
    around = np.argwhere((distance > _SHELL_MM[0]) & (distance <= _SHELL_MM[1])) + low
    windowed = np.clip(scan, *_WINDOW_HU)

    def mean(voxels: np.ndarray, mirroring: Mirroring) -> float:
        mirrored = np.where(mirroring, np.array(scan.shape) - 1 - voxels, voxels)
        return float(windowed[tuple(mirrored.T)].mean())

    return {mirroring: mean(inside, mirroring) - mean(around, mirroring) for mirroring in MIRRORINGS}


def mean_contrasts(cases: Sequence[Mapping[Mirroring, float]]) -> dict[Mirroring, float]:
    """Mean over cases of what :func:`contrasts` returned; empty without cases."""
    return {mirroring: float(np.mean([case[mirroring] for case in cases])) for mirroring in MIRRORINGS if cases}


def better_mirroring(means: Mapping[Mirroring, float]) -> Mirroring | None:
    """The mirroring in which labels fit clearly better than as stated, or None.

    Args:
        means: of one case, or the mean over cases.
    """
    best = max(means, key=means.__getitem__)
    return best if means[best] > means[AS_STATED] + _BETTER_HU else None


def mirroring_words(mirroring: Mirroring) -> str:
    """The mirroring in words."""
    directions = ("left to right", "back to front", "feet to head")
    mirrored = [words for words, yes in zip(directions, mirroring, strict=True) if yes]
    return " and ".join(mirrored) or "as stated"


def mirrored_axes(axes: str, mirroring: Mirroring) -> str:
    """Directions of stored axes, such as "LAI", with those along which the label is mirrored turned round."""
    pairs = [pair for pair, yes in zip(("RL", "AP", "SI"), mirroring, strict=True) if yes]
    opposite = {one: other for pair in pairs for one, other in (pair, pair[::-1])}
    return "".join(opposite.get(letter, letter) for letter in axes)
