"""Reciprocal transformation: each head, turned into the other's kind, is held against the other's target.

Source: arXiv 2505.01644, section on the reciprocal transformation. The authors' code compares hard thresholds, whose
gradient is zero everywhere; both directions here are smooth.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from dualtask.distances.heaviside import per_structure
from dualtask.distances.soft import soft_signed_distance
from dualtask.losses.step_term import StepTerm
from dualtask.losses.strata import Strata
from dualtask.losses.targets import Targets
from dualtask.networks.heads import Heads


class DistanceToMask(StepTerm):
    """Mean absolute difference between H(estimated distance) and H(true distance), over strata that weigh alike.

    The target is H of the true distance and not the hard mask, so that a perfect regression has zero loss. A Dice of
    H, as published, suppresses structures that are not found yet: H = 0 everywhere is a flat optimum of it.

    Args:
        step: H, see :mod:`dualtask.distances.heaviside`.
        strata: the mean that is taken.
    """

    def __init__(self, step: nn.Module, strata: Strata) -> None:
        super().__init__(step)
        self.strata = strata

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        error = (self.step(heads.distance) - self.step(targets.distance)).abs()
        return self.strata(error, targets.distance, targets.supervision())


class MaskToDistance(nn.Module):
    """Mean absolute difference between the signed distance of the estimated soft mask and the true distance, over
    strata that weigh alike.

    Args:
        spacing: voxel sides in mm.
        truncation: truncation distance of each structure in mm.
        strata: the mean that is taken.
    """

    truncation: torch.Tensor

    def __init__(self, spacing: Sequence[float], truncation: Sequence[float], strata: Strata) -> None:
        super().__init__()
        self.strata = strata
        self.spacing = tuple(float(side) for side in spacing)
        self.register_buffer("truncation", per_structure(truncation), persistent=False)

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        limits = self.truncation.to(heads.logits.device)
        # A distance depends on voxels far from it, also on those that the scan does not show: they are not to learn.
        logits = torch.where(targets.known > 0, heads.logits, heads.logits.detach())
        # One solve for all structures; those with a shorter truncation distance are cut again.
        distance = soft_signed_distance(torch.sigmoid(logits), self.spacing, float(limits.max()))
        error = ((distance / limits).clamp(-1, 1) - targets.distance).abs()
        return self.strata(error, targets.distance, targets.supervision())
