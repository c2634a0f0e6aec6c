"""The dual-task network: a backbone and its heads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from dualtask.distances.heaviside import per_structure
from dualtask.networks.fusion import FUSIONS, fused, memberships, nested
from dualtask.networks.heads import Heads
from dualtask.structures import STRUCTURES

_EMBEDDING_CHANNELS = 32


class DualTaskNet(nn.Module):
    """Shared backbone with the heads of the method (arXiv 2505.01644, network section).

    Classification and regression work at full resolution; a projection of the bottleneck feeds the contrastive loss.

    Called as a network it returns fused class memberships, which is what MONAI's bundle tools and MONAI Label expect;
    training asks for the heads.

    Args:
        backbone: returns (full-resolution features, bottleneck features) and states ``feature_channels``,
            ``bottleneck_channels`` and ``stride``.
        sharpness: k of the smooth Heaviside step of each structure that turns the regression head into a mask, see
            :func:`dualtask.distances.heaviside.step_logits`.
        fusion: how the two heads become one probability, one of ``dualtask.networks.fusion.FUSIONS``.
        bounded: whether the regression head ends in tanh, as published. It saturates where a structure is small and
            rare, and has no gradient to come back, so that the head is linear by default.
        prior: probability that a fresh network gives each structure (Lin et al. 2017, section 4.1). From one half, the
            cross entropy of the background takes the first steps, and lesions are learnt later.
        organ_classes: classes of the organs around the pancreas that training also teaches, background among them, see
            :class:`dualtask.losses.NeighbouringOrgans`; 0 makes no such head. What is inferred never asks for it.
    """

    def __init__(
        self,
        backbone: nn.Module,
        sharpness: Sequence[float],
        fusion: str = "mean",
        bounded: bool = False,
        prior: float = 0.01,
        organ_classes: int = 0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("sharpness", per_structure(sharpness), persistent=False)
        self.register_buffer("regression_share", per_structure(FUSIONS[fusion]), persistent=False)
        self.bounded = bool(bounded)
        self.stride = int(backbone.stride)
        self.classification = nn.Conv3d(backbone.feature_channels, len(STRUCTURES), 1)
        nn.init.constant_(self.classification.bias, math.log(prior / (1 - prior)))
        self.regression = nn.Conv3d(backbone.feature_channels, len(STRUCTURES), 1)
        # Near zero, the surface: in the middle of the range, where every stratum of the loss has a gradient.
        nn.init.normal_(self.regression.weight, std=1e-3)
        nn.init.zeros_(self.regression.bias)
        self.projection = nn.Conv3d(backbone.bottleneck_channels, _EMBEDDING_CHANNELS, 1)
        self.organs = nn.Conv3d(backbone.feature_channels, organ_classes, 1) if organ_classes else None

    @torch.jit.export
    def heads(self, image: torch.Tensor) -> Heads:
        """Outputs of all heads.

        Args:
            image: [B, 1, X, Y, Z] in [0, 1]; any size, it is padded to the backbone's stride by repeating the edge.
        """
        x, y, z = image.shape[2], image.shape[3], image.shape[4]
        s = self.stride
        padded = functional.pad(image, [0, -z % s, 0, -y % s, 0, -x % s], mode="replicate")
        features, bottleneck = self.backbone(padded)
        features = features[:, :, :x, :y, :z]
        distance = self._distance(features.float())
        if self.bounded:
            distance = torch.tanh(distance)
        organs = self.organs(features) if self.organs is not None else None
        return Heads(self.classification(features), distance, self.projection(bottleneck), organs)

    def _distance(self, features: torch.Tensor) -> torch.Tensor:
        """The regression head, in float32: bf16 would quantise distances, and round tanh to 1."""
        if torch.jit.is_scripting():
            return self.regression(features)
        with torch.autocast(features.device.type, enabled=False):
            return self.regression(features)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Fused memberships of background, pancreas and lesion.

        Args:
            image: [B, 1, X, Y, Z] in [0, 1].

        Returns:
            [B, 3, X, Y, Z] in [0, 1], of the fused and nested mask probabilities.
        """
        heads = self.heads(image)
        masks = fused(heads.logits, heads.distance, self.sharpness, self.regression_share)
        return memberships(nested(masks))
