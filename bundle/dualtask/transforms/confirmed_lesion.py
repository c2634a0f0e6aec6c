"""One task says how far a lesion reaches, the other one whether there is any."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import ndimage

from dualtask.maps import MAPS

_CONNECTIVITY = np.ones((3, 3, 3))


class ConfirmedLesion:
    """The soft mask of a lesion by its distance, in the components that the classification confirms.

    The regression head learns a lesion's inside, band and surroundings with the same weight, and sees the whole of
    lesions of which the classification is sure of a core only; presence belongs to the classification, which sees far
    fewer where there are none (``docs/reference/figures.md``, each head alone). So the mask is
    H(distance + margin), and of its connected components (26 neighbours) in the organ those count in which the
    probability exceeds the peak.

    The regression head is the later of the two to learn lesions. What the classification is sure of and no distance
    sees keeps the classification's own extent: a head that does not yet know lesions must not take them away.

    Args:
        step_width: w of H(d) = sigmoid(-d / w) in mm.
        threshold: of the probabilities and of H.
        peak: probability that a component exceeds in one of its voxels.
        margin: mm that a voxel must lie inside by its distance. The inside of a lesion weighs more than its
            surroundings in the loss (:class:`dualtask.losses.Strata`), which finds lesions and sets their surface
            too far outside.
    """

    def __init__(self, step_width: float, threshold: float = 0.5, peak: float = 0.0, margin: float = 0.0) -> None:
        self.step_width = float(step_width)
        self.threshold = float(threshold)
        self.peak = float(peak)
        self.margin = float(margin)

    def __call__(self, maps: torch.Tensor) -> torch.Tensor:
        """Float [1, X, Y, Z], 0 in what is not confirmed and where no lesion is heard of, outside the region above all.

        Args:
            maps: [6, X, Y, Z] with the channels ``dualtask.maps.MAPS``, on the network's own grid.
        """
        organ, probability = maps[MAPS["probability"]]
        distance = torch.sigmoid(-(maps[MAPS["distance"]][1] + self.margin) / self.step_width)
        likely = probability.float().cpu().numpy()
        seen = (distance > self.threshold).cpu().numpy()
        in_organ = (organ > self.threshold).cpu().numpy()
        # Around the components it stays: interpolation needs how it falls off.
        result = torch.where(probability > 0, distance, 0)
        for box, component in _components(seen & in_organ):
            if likely[box][component].max() <= self.peak:
                result[box][torch.as_tensor(component, device=result.device)] = 0
        for box, component in _components((likely > self.threshold) & in_organ):
            if likely[box][component].max() > self.peak and not seen[box][component].any():
                falling_off = torch.as_tensor(ndimage.binary_dilation(component, _CONNECTIVITY), device=result.device)
                result[box] = torch.where(falling_off, torch.maximum(result[box], probability[box]), result[box])
        return result[None]


def _components(mask: np.ndarray) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """Each connected component (26 neighbours) of a mask: its box, a voxel larger, and itself in the box."""
    components, _ = ndimage.label(mask, _CONNECTIVITY)
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        larger = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
        yield larger, components[larger] == number
