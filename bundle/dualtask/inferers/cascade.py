"""Coarse-to-fine inference on a whole scan (arXiv 2505.01644, inference section)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.inferers import Inferer, SlidingWindowInferer
from torch import nn
from torch.nn import functional

from dualtask.distances.heaviside import per_structure
from dualtask.inferers.evidence import Evidence, overlap
from dualtask.inferers.heads import embedded_outputs, head_outputs
from dualtask.inferers.region import Region, enlarged, heaviest_component, largest_component, region_of_interest
from dualtask.maps import MAPS, fuse_heads
from dualtask.networks.fusion import FUSIONS
from dualtask.structures import STRUCTURES
from dualtask.transforms.downsample import downsample_image

logger = logging.getLogger(__name__)

_ORGAN = STRUCTURES.index("pancreas")


class Localised(NamedTuple):
    """What the localiser says of a scan.

    Attributes:
        organ: boolean [X, Y, Z], the largest component of what it takes for the organ.
        probability: [X, Y, Z] of the organ.
        share: of that component in all that it takes for the organ; None where that is nothing.
    """

    organ: np.ndarray
    probability: np.ndarray
    share: float | None


class CascadeInferer(Inferer):
    """Finds the pancreas at low resolution, then segments the region around it at full resolution.

    The fine stage recurs: it re-crops around its own mask until two rounds agree. Of several components it keeps that
    with the largest sum of the product of both stages' probabilities: a bowel loop can be larger than the pancreas, and
    as likely to the fine stage alone. Where the localiser finds nothing the network slides over the whole scan instead,
    with a warning.

    Args:
        localiser: dual-task network for block means of the scan.
        factor: side in voxels of the localiser's blocks.
        localiser_size: sides in blocks of the localiser's training crops.
        region_size: smallest region in voxels, the size of the training crops. What lies beyond a scan is not known,
            and completes smaller ones to these sizes as in training: normalisation layers take statistics over all that
            a network is given.
        truncation: truncation distance of each structure in mm.
        margin: voxels around the mask's box.
        agreement: Dice between the organ masks of two rounds at which the recurrence stops.
        max_rounds: bound on the rounds of the fine stage; 1 does without the recurrence.
        flips: mirror images that the fine stage averages over beside the image, see :func:`head_outputs`; training
            shows those of ``[[0]]``.
        fusion: how the two heads become one probability, one of ``dualtask.networks.fusion.FUSIONS``; None leaves it
            to the network, whose weights were selected with its own.
    """

    def __init__(
        self,
        localiser: nn.Module,
        factor: int,
        localiser_size: Sequence[int],
        region_size: Sequence[int],
        truncation: Sequence[float],
        margin: Sequence[int] = (6, 6, 5),
        agreement: float = 0.92,
        max_rounds: int = 4,
        flips: Sequence[Sequence[int]] = (),
        fusion: str | None = None,
    ) -> None:
        super().__init__()
        self.localiser = localiser
        self.factor = int(factor)
        self.localiser_size = tuple(localiser_size)
        self.region_size = tuple(region_size)
        self.truncation = per_structure(truncation)
        self.margin = tuple(margin)
        self.agreement = float(agreement)
        self.max_rounds = int(max_rounds)
        self.flips = flips
        self.fusion = fusion
        self.sliding_window = SlidingWindowInferer(
            roi_size=self.region_size, overlap=0.25, mode="gaussian", padding_mode="constant"
        )

    @torch.no_grad()
    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Probability, signed distance and uncertainty of each structure.

        Args:
            inputs: [1, 1, X, Y, Z] in [0, 1] at the network's spacing.
            network: fine dual-task network.

        Returns:
            [1, 6, X, Y, Z] with the channels ``dualtask.maps.MAPS``; outside the region the probability is 0,
            the distance the truncation distance, and the uncertainty 0. In components that were not kept the
            probability is halved, at most 0.5, and the distance positive. What the cascade saw on its way is attached,
            see :class:`dualtask.inferers.evidence.Evidence`.

        Raises:
            ValueError: the batch holds more than one scan.
        """
        if inputs.shape[0] != 1:
            raise ValueError(f"the cascade takes one scan at a time, got a batch of {inputs.shape[0]}.")
        image = torch.as_tensor(inputs)
        localised = self.localise(image)
        if not localised.organ.any():
            logger.warning("The localiser found no pancreas: sliding over the whole scan instead; check the result.")
            maps = self._fuse(self.sliding_window(image, head_outputs, network, self.flips), network)
            return Evidence(localiser_agreement=0.0).attached_to(maps)
        organ = localised.organ
        region = self.region_around(organ)
        for round_number in range(1, self.max_rounds + 1):
            crop, inside = enlarged(image[(..., *region)], self.region_size)
            outputs, embedding = embedded_outputs(crop, network, self.flips)
            maps = self._fuse(outputs[(..., *inside)], network)
            refined = np.zeros_like(organ)
            refined[region] = heaviest_component(_organ(maps), localised.probability[region] * _probability(maps))
            agreement = overlap(organ, refined)
            if not refined.any() or agreement >= self.agreement:
                break
            next_region = self.region_around(refined)
            if next_region == region or round_number == self.max_rounds:
                break
            organ, region = refined, next_region
        evidence = Evidence(
            agreement,
            overlap(localised.organ, refined),
            localised.share,
            _share(refined, _organ(maps)),
            mean_over(refined[region], self.region_size, embedding),
        )
        return evidence.attached_to(self._paste(_without_others(maps, refined[region]), region, image.shape))

    def region_around(self, organ: np.ndarray) -> Region:
        """What the fine stage sees of a scan around a mask [X, Y, Z] of the organ, which is not empty."""
        return region_of_interest(organ, self.region_size, self.margin)

    def _fuse(self, outputs: torch.Tensor, network: nn.Module) -> torch.Tensor:
        share = network.regression_share if self.fusion is None else per_structure(FUSIONS[self.fusion])
        return fuse_heads(outputs, network.sharpness, self.truncation.to(outputs.device), share.to(outputs.device))

    @torch.no_grad()
    def localise(self, image: torch.Tensor) -> Localised:
        """What the localiser says of a scan [1, 1, X, Y, Z] in [0, 1] at the network's spacing."""
        blocks, inside = enlarged(downsample_image(image, self.factor), self.localiser_size)
        maps = self._fuse(head_outputs(blocks, self.localiser)[(..., *inside)], self.localiser)
        seen = _organ(maps)
        organ = largest_component(seen)
        return Localised(
            self._at_full_resolution(organ, image),
            self._at_full_resolution(_probability(maps), image),
            _share(organ, seen),
        )

    def _at_full_resolution(self, blocks: np.ndarray, image: torch.Tensor) -> np.ndarray:
        for axis in range(3):
            blocks = blocks.repeat(self.factor, axis=axis)
        x, y, z = image.shape[2:]
        return blocks[:x, :y, :z]

    def _paste(self, maps: torch.Tensor, region: Region, shape: torch.Size) -> torch.Tensor:
        whole = maps.new_zeros(1, maps.shape[1], *shape[2:])
        whole[:, MAPS["distance"]] = self.truncation.to(whole)
        whole[(..., *region)] = maps
        return whole


def _probability(maps: torch.Tensor) -> np.ndarray:
    return maps[0, MAPS["probability"]][_ORGAN].cpu().numpy()


def _organ(maps: torch.Tensor) -> np.ndarray:
    return _probability(maps) > 0.5


def _share(component: np.ndarray, seen: np.ndarray) -> float | None:
    return np.count_nonzero(component) / np.count_nonzero(seen) if seen.any() else None


def _without_others(maps: torch.Tensor, kept: np.ndarray) -> torch.Tensor:
    """The maps with nothing inside of what counts as organ beside the component that is kept."""
    other = torch.as_tensor(_organ(maps) & ~kept, device=maps.device)
    probability, distance, uncertainty = (maps[:, MAPS[name]] for name in ("probability", "distance", "uncertainty"))
    probability = torch.where(other, probability / 2, probability)
    return torch.cat([probability, torch.where(other, distance.abs(), distance), uncertainty], dim=1)


def mean_over(organ: np.ndarray, minimum: Sequence[int], embedding: torch.Tensor) -> tuple[float, ...] | None:
    """Mean of the embedding of a region over a mask in it, None if the mask is empty.

    Args:
        organ: boolean [X, Y, Z], of the region.
        minimum: sides that the region was completed to before it was embedded, see :func:`enlarged`.
        embedding: [1, 32, X/s, Y/s, Z/s] of the completed region.
    """
    if not organ.any():
        return None
    mask, _ = enlarged(torch.as_tensor(organ)[None, None], minimum)
    weights = functional.adaptive_avg_pool3d(mask.to(embedding), embedding.shape[2:])
    return tuple(((embedding * weights).sum((0, 2, 3, 4)) / weights.sum()).tolist())
