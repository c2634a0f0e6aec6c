"""What speaks for a structure apart from the hints: here the network's maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional

from dualtask.refinement.scan_maps import ScanMaps
from dualtask.refinement.settings import Settings

Region = tuple[slice, ...]

_LEAST = 1e-4


@dataclass(frozen=True)
class Part:
    """A box of a scan in blocks of voxels.

    Attributes:
        region: the box in voxels.
        factors: voxels to a block along each axis; the last block may hold fewer.
        sides: of a block in mm.
        grey: float32 [x, y, z], mean intensity, the window as [0, 1].
        mask: bool [x, y, z], the structure before the correction.
        inside, outside: bool [x, y, z], blocks with hints of one kind only.
    """

    region: Region
    factors: tuple[int, ...]
    sides: tuple[float, ...]
    grey: np.ndarray
    mask: np.ndarray
    inside: np.ndarray
    outside: np.ndarray


class Evidence(Protocol):
    """What a cut starts from."""

    def log_odds(self, part: Part) -> np.ndarray:
        """Log odds of the structure in each block, float [x, y, z]; 0 where nothing is known."""


@dataclass(frozen=True)
class NetworkEvidence:
    """The network's probability, and how far the surface is by its distance map.

    The mask says on which side a block lies, the network how surely: what a rule or a person has changed since stays
    changed.

    Args:
        maps: of the scan.
        structure: index into ``STRUCTURES``.
        settings: see there.
    """

    maps: ScanMaps
    structure: int
    settings: Settings

    def log_odds(self, part: Part) -> np.ndarray:
        probability, distance = (blocks(each, part.factors) for each in self.maps.maps_in(part.region, self.structure))
        probability = probability.clip(_LEAST, 1 - _LEAST)
        odds = np.log(probability / (1 - probability))
        odds -= self.settings.distance_share * distance / max(float(np.abs(distance).max()), 1.0)
        return np.where(part.mask, np.abs(odds), -np.abs(odds))


def blocks(values: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Means of blocks of a volume [X, Y, Z], float32 [ceil(X / f), ...]; the last block may hold fewer voxels."""
    tensor = torch.as_tensor(np.ascontiguousarray(values, np.float32))[None]
    return functional.avg_pool3d(tensor, tuple(factors), ceil_mode=True, count_include_pad=False)[0].numpy()
