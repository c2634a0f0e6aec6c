"""Coarse-to-fine inference on a whole scan (arXiv 2505.01644, inference section)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer, SlidingWindowInferer
from torch import nn

from dualtask.inferers.region import Region, largest_component, region_of_interest
from dualtask.transforms.downsample import downsample_image

logger = logging.getLogger(__name__)

_BACKGROUND = 0


class CascadeInferer(Inferer):
    """Finds the pancreas at low resolution, then segments the region around it at full resolution.

    The fine stage recurs: it re-crops around its own mask until two rounds agree. Where the localiser finds nothing
    the network slides over the whole scan instead, with a warning.

    Args:
        localiser: network for block means of the scan, returns memberships [1, 3, x, y, z].
        factor: side in voxels of the localiser's blocks.
        region_size: smallest region in voxels, the size of the training crops.
        margin: voxels around the mask's box.
        agreement: Dice between the organ masks of two rounds at which the recurrence stops.
        max_rounds: bound on the rounds of the fine stage.
    """

    def __init__(
        self,
        localiser: nn.Module,
        factor: int,
        region_size: Sequence[int],
        margin: Sequence[int] = (8, 8, 5),
        agreement: float = 0.92,
        max_rounds: int = 4,
    ) -> None:
        super().__init__()
        self.localiser = localiser
        self.factor = int(factor)
        self.region_size = tuple(region_size)
        self.margin = tuple(margin)
        self.agreement = float(agreement)
        self.max_rounds = int(max_rounds)
        self.sliding_window = SlidingWindowInferer(
            roi_size=self.region_size, overlap=0.25, mode="gaussian", padding_mode="replicate"
        )

    @torch.no_grad()
    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Memberships of background, pancreas and lesion.

        Args:
            inputs: [1, 1, X, Y, Z] in [0, 1] at the network's spacing.
            network: fine network, [1, 1, ...] -> [1, 3, ...].

        Returns:
            [1, 3, X, Y, Z]; outside the region background has membership 1.

        Raises:
            ValueError: the batch holds more than one scan.
        """
        if inputs.shape[0] != 1:
            raise ValueError(f"the cascade takes one scan at a time, got a batch of {inputs.shape[0]}.")
        image = torch.as_tensor(inputs)
        organ = self._localise(image)
        if not organ.any():
            logger.warning("The localiser found no pancreas: sliding over the whole scan instead; check the result.")
            return self.sliding_window(image, network)
        region = region_of_interest(organ, self.region_size, self.margin)
        for round_number in range(1, self.max_rounds + 1):
            prediction = network(image[(..., *region)])
            refined = np.zeros_like(organ)
            refined[region] = _organ(prediction)
            if not refined.any() or _dice(organ, refined) >= self.agreement:
                break
            next_region = region_of_interest(refined, self.region_size, self.margin)
            if next_region == region or round_number == self.max_rounds:
                break
            organ, region = refined, next_region
        return _paste(prediction, region, image.shape)

    def _localise(self, image: torch.Tensor) -> np.ndarray:
        coarse = largest_component(_organ(self.localiser(downsample_image(image, self.factor))))
        for axis in range(3):
            coarse = coarse.repeat(self.factor, axis=axis)
        x, y, z = image.shape[2:]
        return coarse[:x, :y, :z]


def _organ(memberships: torch.Tensor) -> np.ndarray:
    return (memberships.argmax(1)[0] != _BACKGROUND).cpu().numpy()


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2.0 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


def _paste(prediction: torch.Tensor, region: Region, shape: torch.Size) -> torch.Tensor:
    whole = prediction.new_zeros(1, prediction.shape[1], *shape[2:])
    whole[:, _BACKGROUND] = 1
    whole[(..., *region)] = prediction
    return whole
