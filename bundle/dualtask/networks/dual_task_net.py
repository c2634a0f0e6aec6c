"""The dual-task network: a backbone and its heads."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from dualtask.distances.heaviside import smooth_heaviside
from dualtask.networks.fusion import FUSIONS, memberships, nested
from dualtask.networks.heads import Heads
from dualtask.structures import STRUCTURES

_EMBEDDING_CHANNELS = 32


class DualTaskNet(nn.Module):
    """Shared backbone with the heads of the method (arXiv 2505.01644, network section).

    Classification and regression work at full resolution; a projection of the bottleneck feeds the contrastive loss,
    and a head per axial slice tells whether it shows a lesion.

    Called as a network it returns fused class memberships, which is what MONAI's bundle tools and MONAI Label expect;
    training asks for the heads.

    Args:
        backbone: returns (full-resolution features, bottleneck features) and states ``feature_channels``,
            ``bottleneck_channels`` and ``stride``.
        sharpness: k of the smooth Heaviside step that turns the regression head into a mask, see
            :func:`dualtask.distances.heaviside.smooth_heaviside`.
        fusion: how the two heads become one probability, one of ``dualtask.networks.fusion.FUSIONS``.
    """

    def __init__(self, backbone: nn.Module, sharpness: float, fusion: str = "mean") -> None:
        super().__init__()
        self.backbone = backbone
        self.sharpness = float(sharpness)
        self.regression_share = FUSIONS[fusion]
        self.stride = int(backbone.stride)
        self.classification = nn.Conv3d(backbone.feature_channels, len(STRUCTURES), 1)
        self.regression = nn.Conv3d(backbone.feature_channels, len(STRUCTURES), 1)
        # Near zero, so that tanh starts in its linear range and every voxel gets a gradient.
        nn.init.normal_(self.regression.weight, std=1e-3)
        nn.init.zeros_(self.regression.bias)
        self.projection = nn.Conv3d(backbone.bottleneck_channels, _EMBEDDING_CHANNELS, 1)
        self.presence = nn.Conv1d(backbone.feature_channels, 1, 1)

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
        # The maximum over a slice sees a lesion of any size; a mean would dilute small ones. Pooling, because the
        # backward pass of amax looks for ties, which takes several per cent of a training step on a CPU.
        strongest = functional.max_pool3d(features, [x, y, 1]).flatten(2)
        return Heads(
            self.classification(features),
            torch.tanh(self.regression(features)),
            self.projection(bottleneck),
            self.presence(strongest)[:, 0],
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Fused memberships of background, pancreas and lesion.

        Args:
            image: [B, 1, X, Y, Z] in [0, 1].

        Returns:
            [B, 3, X, Y, Z] in [0, 1], of the fused and nested mask probabilities.
        """
        heads = self.heads(image)
        share = self.regression_share
        masks = (1 - share) * torch.sigmoid(heads.logits) + share * smooth_heaviside(heads.distance, self.sharpness)
        return memberships(nested(masks))
