"""One task says how far a lesion reaches, the other one whether there is any."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from dualtask.maps import MAPS

_CONNECTIVITY = np.ones((3, 3, 3))


class ConfirmedLesion:
    """The soft mask of a lesion by its distance, in the components that the classification confirms.

    The regression head learns a lesion's inside, band and surroundings with the same weight, and sees the whole of
    lesions of which the classification is sure of a core only; presence belongs to the classification, which sees far
    fewer where there are none (``docs/reference/figures.md``, each head alone). So the mask is H(distance), and of its
    connected components (26 neighbours) in the organ those count in which the probability exceeds the peak.

    Args:
        step_width: w of H(d) = sigmoid(-d / w) in mm.
        threshold: of the organ's probability and of H.
        peak: probability that a component exceeds in one of its voxels.
    """

    def __init__(self, step_width: float, threshold: float = 0.5, peak: float = 0.0) -> None:
        self.step_width = float(step_width)
        self.threshold = float(threshold)
        self.peak = float(peak)

    def __call__(self, maps: torch.Tensor) -> torch.Tensor:
        """Float [1, X, Y, Z], 0 in what is not confirmed and where no lesion is heard of, outside the region above all.

        Args:
            maps: [6, X, Y, Z] with the channels ``dualtask.maps.MAPS``, on the network's own grid.
        """
        organ, probability = maps[MAPS["probability"]]
        mask = torch.sigmoid(-maps[MAPS["distance"]][1:] / self.step_width)
        # Around the components it stays: interpolation needs how it falls off.
        result = torch.where(probability > 0, mask, 0)
        inside = ((mask[0] > self.threshold) & (organ > self.threshold)).cpu().numpy()
        for box in ndimage.find_objects(inside.astype(np.uint8)):
            components, count = ndimage.label(inside[box], _CONNECTIVITY)
            peaks = ndimage.maximum(probability[box].float().cpu().numpy(), components, np.arange(1, count + 1))
            refused = np.isin(components, 1 + np.flatnonzero(peaks <= self.peak))
            result[(0, *box)][torch.as_tensor(refused, device=result.device)] = 0
        return result
