"""Reciprocal transformation: each head, turned into the other's kind, is held against the other's target.

Source: arXiv 2505.01644, section on the reciprocal transformation. The authors' code compares hard thresholds, whose
gradient is zero everywhere; both directions here are smooth.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from dualtask.distances.soft import soft_signed_distance
from dualtask.losses.overlap import dice_loss, supervised_mean
from dualtask.losses.targets import Targets
from dualtask.networks.heads import Heads


class DistanceToMask(nn.Module):
    """Dice between H(estimated distance) and H(true distance).

    The target is H of the true distance and not the hard mask, so that a perfect regression has zero loss.

    Args:
        step: H, see :mod:`dualtask.distances.heaviside`.
    """

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        self.step = step

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        return dice_loss(self.step(heads.distance), self.step(targets.distance), targets.supervision(), squared=True)


class MaskToDistance(nn.Module):
    """Mean absolute difference between the signed distance of the estimated soft mask and the true distance.

    Args:
        spacing: voxel sides in mm.
        truncation: truncation distance in mm.
    """

    def __init__(self, spacing: Sequence[float], truncation: float) -> None:
        super().__init__()
        self.spacing = tuple(float(side) for side in spacing)
        self.truncation = float(truncation)

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        estimate = soft_signed_distance(torch.sigmoid(heads.logits), self.spacing, self.truncation) / self.truncation
        return supervised_mean((estimate - targets.distance).abs(), targets.supervision())
