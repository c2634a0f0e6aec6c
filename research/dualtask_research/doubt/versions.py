"""Versions of a scan that the cascade ought to fail on, so that a few patients show many ways to fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from monai.transforms import Flip

from dualtask.inferers import CascadeInferer, Localised
from dualtask_research.chain import Scan

_FEWEST_SLICES = 12
_MISLED_BY = (-30, 0, -24)
"""Voxels: 90 mm to the left and 72 mm down, among loops of the small bowel. From nearer the fine stage finds back, for
its region is large."""


@dataclass(frozen=True)
class Version:
    """A way to spoil a case.

    Attributes:
        change: the scan of another patient or scanner, so to speak; None where a scan does not allow for it.
        misled: whether the localiser points beside what it found.
    """

    change: Callable[[Scan], Scan | None]
    misled: bool = False


def _flipped(axis: int) -> Callable[[Scan], Scan]:
    flip = Flip(spatial_axis=axis)
    return lambda scan: {key: flip(values) for key, values in scan.items()}


def _with_image(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Scan], Scan]:
    return lambda scan: {**scan, "image": change(scan["image"]) * scan["known"]}


def without_pancreas(scan: Scan) -> Scan | None:
    """The larger of the parts above and below the pancreas, None if both are thinner than 12 slices."""
    slices = np.flatnonzero(np.asarray(scan["label"][0] > 0).any((0, 1)))
    depth = scan["label"].shape[-1]
    part = max((slice(0, slices[0]), slice(slices[-1] + 1, depth)), key=lambda part: part.stop - part.start)
    if part.stop - part.start < _FEWEST_SLICES:
        return None
    return {key: values[..., part] for key, values in scan.items()}


AS_IT_IS = "as it is"
VERSIONS: Mapping[str, Version] = {
    AS_IT_IS: Version(lambda scan: scan),
    "mirrored": Version(_flipped(0)),
    "front to back": Version(_flipped(1)),
    "upside down": Version(_flipped(2)),
    "without pancreas": Version(without_pancreas),
    "too bright": Version(_with_image(lambda image: 0.5 + 0.5 * image)),
    "too dark": Version(_with_image(lambda image: (image - 0.35).clamp(0))),
    "misled": Version(lambda scan: scan, misled=True),
}
"""Name -> version. HU are wrong by half of the window and more, as without the slope or intercept of a scanner."""


def misled(inferer: CascadeInferer) -> CascadeInferer:
    """A cascade whose localiser points beside what it found."""

    class Misled(CascadeInferer):
        def localise(self, image: torch.Tensor) -> Localised:
            organ, probability, share = super().localise(image)
            return Localised(_shifted(organ), _shifted(probability), share)

    result = Misled.__new__(Misled)
    result.__dict__ = inferer.__dict__
    return result


def _shifted(volume: np.ndarray) -> np.ndarray:
    moved = np.zeros_like(volume)
    source, target = zip(*(_moved(side, by) for side, by in zip(volume.shape, _MISLED_BY, strict=True)), strict=True)
    moved[target] = volume[source]
    return moved


def _moved(side: int, by: int) -> tuple[slice, slice]:
    """Where voxels of an axis come from, and where they go to; nowhere on an axis that is too short."""
    length = max(side - abs(by), 0)
    source, target = max(-by, 0), max(by, 0)
    return slice(source, source + length), slice(target, target + length)
