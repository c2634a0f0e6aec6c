"""Partly known scans: exports that were cropped, and slabs, whose other voxels hold a value that means "not known"."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from dualtask.scans.voxels import check_unknown

AIR_HU = -1024.0
"""What voxels that are not known are filled with: below every window, as what lies outside a scanner's circle."""


class KnownVoxels(Transform):
    """Adds ``known`` to partly known scans: float32 [1, X, Y, Z], 1 where the scan shows something and 0 elsewhere.

    A case may name the value of its unknown voxels under ``unknown`` (HU), which is used up; without it all voxels are
    known, and no map says so at full resolution (:class:`FillUnknown` does later). Unknown voxels are filled with air.

    Args:
        image_key: key of the image [1, X, Y, Z] in HU, in stored form.
        hu_key: key under which the image is kept as it is for measurements, NaN where it is not known; None does not.

    Raises:
        InputError: the value is no finite number.
    """

    def __init__(self, image_key: str, hu_key: str | None = None) -> None:
        self.image_key = image_key
        self.hu_key = hu_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        image: MetaTensor = result[self.image_key]
        unknown = result.pop("unknown", None)
        hu = image
        if unknown is not None:
            known = image != check_unknown(unknown, "the case")
            result[self.image_key] = torch.where(known, image, AIR_HU)
            hu = torch.where(known, image, torch.nan)
            # A scan that comes as an array may be of whole numbers; shares of voxels are none.
            result["known"] = known.to(torch.float32)
        if self.hu_key is not None:
            # No transform writes into an image: both may be the same voxels, each with what is said of its own grid.
            result[self.hu_key] = MetaTensor(hu.as_tensor(), meta=dict(hu.meta))
        return result


class FillUnknown(Transform):
    """After interpolation: restores the image between known and unknown voxels, and sets it to 0 where it is unknown.

    A scan without ``known`` is known everywhere and gets a map that says so.

    Interpolation mixes what fills unknown voxels into their neighbours; divided by the interpolated share of known ones
    the mean of the known neighbours is left. A voxel is known where at least half of what it was made of was.

    Args:
        image_key: key of the image [1, X, Y, Z] in [0, 1], 0 where it was unknown, interpolated as ``known`` was.
    """

    def __init__(self, image_key: str) -> None:
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        if "known" not in result:
            return {**result, "known": torch.ones_like(result[self.image_key])}
        share = result["known"]
        known = (share >= 0.5).to(share)
        result["known"] = known
        result[self.image_key] = result[self.image_key] / share.clamp_min(0.5) * known
        return result


class OnlySupervisedd(MapTransform):
    """Takes what is not supervised out of scores: masks are 0 where the scan shows nothing, and NaN where their
    structure was not annotated, which :class:`dualtask.engines.StructureDice` does not count.

    Args:
        keys: keys of the float masks of the structures [2, X, Y, Z].
    """

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            # Predictions lie where the network computed them, labels where the loader put them.
            masks = result[key]
            known, annotated = result["known"].to(masks.device), result["annotated"].to(masks.device)
            result[key] = torch.where(annotated[:, None, None, None] > 0, masks * known, math.nan)
        return result
