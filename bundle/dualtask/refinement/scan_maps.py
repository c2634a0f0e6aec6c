"""What a correction starts from: a scan, and what the network says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.transforms import Compose, SaveImaged

from dualtask.doubt import DoubtResult
from dualtask.transforms import BoxIntoScand, BoxToScanGridd, SplitMapsd

_KEPT = ("probability", "distance")


@dataclass(frozen=True)
class ScanMaps:
    """A scan with the network's maps on its own voxels, in the box where the network says something.

    Attributes:
        image: int16 [X, Y, Z] in HU.
        affine: [4, 4] voxel -> mm (RAS+).
        label: uint8 [X, Y, Z], the network's label map (0 background, 1 pancreas, 2 lesion).
        start: first voxel of the box.
        probability: float16 [2, x, y, z] of each of ``STRUCTURES`` in the box; outside it is 0.
        distance: float16 [2, x, y, z], signed distance in mm in the box, negative inside the structure.
    """

    image: np.ndarray
    affine: np.ndarray
    label: np.ndarray
    start: tuple[int, ...]
    probability: np.ndarray
    distance: np.ndarray

    @classmethod
    def of(cls, scan: MetaTensor, data: Mapping[str, Any]) -> ScanMaps:
        """From a scan as it is stored, [1, X, Y, Z] in HU, and what :func:`keeping_maps` made of it."""
        affine = np.asarray(scan.affine, dtype=float)
        probability = data["probability"]
        start = np.linalg.solve(affine, np.asarray(probability.affine, dtype=float)[:, 3])[:3].round().astype(int)
        label = np.asarray(data["pred"]).astype(np.uint8)
        return cls(
            np.asarray(scan[0]).clip(-32768, 32767).astype(np.int16),
            affine,
            label.reshape(scan.shape[1:]),
            tuple(start.tolist()),
            np.asarray(probability).astype(np.float16),
            np.asarray(data["distance"]).astype(np.float16),
        )

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel sides in mm."""
        return tuple(np.linalg.norm(self.affine[:3, :3], axis=0).tolist())

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        arrays = (self.image, self.label, self.probability, self.distance)
        return sum(array.nbytes for array in arrays)

    def maps_in(self, region: tuple[slice, ...], structure: int) -> tuple[np.ndarray, np.ndarray]:
        """Probability and distance of a structure in a part of the scan, float32 [x, y, z].

        Outside the box the network heard of nothing: the probability is 0, the distance the largest of the box.
        """
        shape = tuple(side.stop - side.start for side in region)
        far = max(float(self.distance[structure].max()), 0.0)
        probability, distance = np.zeros(shape, np.float32), np.full(shape, far, np.float32)
        here, there = [], []
        for side, start, size in zip(region, self.start, self.probability.shape[1:], strict=True):
            low, high = max(side.start, start), min(side.stop, start + size)
            if low >= high:
                return probability, distance
            here.append(slice(low - side.start, high - side.start))
            there.append(slice(low - start, high - start))
        probability[tuple(here)] = self.probability[structure][tuple(there)]
        distance[tuple(here)] = self.distance[structure][tuple(there)]
        return probability, distance


def keeping_maps(postprocessing: Sequence[Callable]) -> list[Callable]:
    """The postprocessing of ``configs/inference.json`` with the maps that :meth:`ScanMaps.of` needs left in their box.

    The label map comes about as ever; nothing is written and nothing is doubted.

    Args:
        postprocessing: the transforms of the config.
    """
    kept: list[Callable] = []
    for transform in postprocessing:
        if isinstance(transform, SplitMapsd):
            kept.append(SplitMapsd(transform.keys, _KEPT, transform.lesion))
        elif isinstance(transform, BoxToScanGridd):
            kept.append(BoxToScanGridd((*transform.keys, *_KEPT), transform.image_key))
        elif isinstance(transform, BoxIntoScand):
            kept.append(BoxIntoScand(transform.keys, None, transform.image_key))
        elif not isinstance(transform, SaveImaged | Compose | DoubtResult):
            kept.append(transform)
    return kept
