"""Graph cut without a network: what the grey around the clicks says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dualtask.refinement import Part

_LEAST_SPREAD = 0.05
"""Of the intensities of a few blocks, as a share of the window (17 HU)."""


@dataclass(frozen=True)
class ClickedIntensities:
    """Log odds of two normal distributions, of the blocks at and beside the clicks inside and of those outside.

    Where no click lies outside, the other distribution is that of the whole part of the scan.
    """

    def log_odds(self, part: Part) -> np.ndarray:
        inside = part.grey[ndimage.binary_dilation(part.inside)]
        if not len(inside):
            return np.zeros(part.grey.shape)
        outside = part.grey[ndimage.binary_dilation(part.outside)] if part.outside.any() else part.grey.ravel()
        return _log_density(part.grey, inside) - _log_density(part.grey, outside)


def _log_density(values: np.ndarray, samples: np.ndarray) -> np.ndarray:
    spread = max(float(samples.std()), _LEAST_SPREAD)
    return -0.5 * ((values - samples.mean()) / spread) ** 2 - np.log(spread)
