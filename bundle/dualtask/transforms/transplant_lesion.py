"""Lesions of other patients, put into pancreata that have none or one already."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.transforms import Randomizable, Transform
from scipy import ndimage

_PANCREAS, _LESION = 1, 2
_MARGIN = 2
_SMOOTHING = 0.7
"""Standard deviation in voxels of the blend at a lesion's edge."""


class Donor(NamedTuple):
    """One lesion.

    Attributes:
        contrast: float32 [x, y, z], the image minus the median of the patient's parenchyma, in a box around the lesion.
        mask: bool [x, y, z].
    """

    contrast: np.ndarray
    mask: np.ndarray


class RandTransplantLesion(Randomizable, Transform):
    """Puts a lesion of another patient at a random place of a crop's pancreas, at its contrast to the parenchyma.

    Patients with labelled lesions are few, and public scans of them often show nothing but a box around the organ. A
    network learns from those which scans have lesions, not how lesions look. A transplanted lesion stands in another
    pancreas and in whole scans. (After CarveMix, Zhang et al. 2021, arXiv 2108.06883, which cuts with a random margin
    and keeps the donor's values.)

    Args:
        image_key: key of the image [1, X, Y, Z] in [0, 1].
        label_key: key of the label map [1, X, Y, Z].
        donors: preprocessed cases with an image and a label map; every lesion of ``least_voxels`` and more is used.
        prob: share of the crops with a labelled pancreas that get one.
        least_voxels: smallest lesion.
    """

    def __init__(
        self, image_key: str, label_key: str, donors: Iterable[Mapping[str, Any]], prob: float, least_voxels: int = 10
    ) -> None:
        self.image_key = image_key
        self.label_key = label_key
        self.prob = float(prob)
        self.donors = [
            donor
            for case in donors
            for donor in _lesions(np.asarray(case[image_key])[0], np.asarray(case[label_key])[0], least_voxels)
        ]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        if self.R.random() >= self.prob or not self.donors or not bool(result["annotated"].all()):
            return result
        image, label = result[self.image_key].clone(), result[self.label_key].clone()
        places = torch.nonzero((label[0] == _PANCREAS) & (result["known"][0] > 0))
        if not len(places):
            return result
        donor = self.donors[self.R.randint(len(self.donors))]
        axes = tuple(axis for axis in range(3) if self.R.random() < 0.5)
        contrast, mask = np.flip(donor.contrast, axes), np.flip(donor.mask, axes)
        corner = places[self.R.randint(len(places))].numpy() - np.asarray(mask.shape) // 2
        ours = tuple(slice(max(c, 0), c + s) for c, s in zip(corner, mask.shape, strict=True))
        parenchyma = float(image[label == _PANCREAS].median())
        patch = image[0][ours]
        theirs = tuple(slice(max(-c, 0), max(-c, 0) + s) for c, s in zip(corner, patch.shape, strict=True))
        share = torch.as_tensor(ndimage.gaussian_filter(mask.astype(np.float32), _SMOOTHING)[theirs])
        lesion = (parenchyma + torch.as_tensor(contrast[theirs].copy())).clamp(0, 1)
        known = result["known"][0][ours]
        image[0][ours] = torch.lerp(patch, lesion, share * known)
        label[0][ours] = torch.where(torch.as_tensor(mask[theirs].copy()) & (known > 0), float(_LESION), label[0][ours])
        result[self.image_key], result[self.label_key] = image, label
        return result


def _lesions(image: np.ndarray, label: np.ndarray, least_voxels: int) -> list[Donor]:
    parenchyma = image[label == _PANCREAS]
    if not len(parenchyma):
        return []
    components, _ = ndimage.label(label == _LESION)
    donors = []
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        wide = tuple(slice(max(side.start - _MARGIN, 0), side.stop + _MARGIN) for side in box)
        mask = components[wide] == number
        if np.count_nonzero(mask) >= least_voxels:
            donors.append(Donor((image[wide] - np.median(parenchyma)).astype(np.float32), mask))
    return donors
