"""The terms as published, for comparison: each was measured to lose lesions (arXiv 2505.01644, loss section)."""

from __future__ import annotations

import torch
from torch import nn

from dualtask.losses.overlap import dice_loss, supervised_mean
from dualtask.losses.step_term import StepTerm
from dualtask.losses.targets import Targets
from dualtask.networks.heads import Heads


class MeanDistanceError(nn.Module):
    """Mean absolute error of the regression head over all voxels, in units of the truncation distance."""

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        return supervised_mean((heads.distance - targets.distance).abs(), targets.supervision())


class DiceOfStep(StepTerm):
    """Dice between H(estimated distance) and H(true distance)."""

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        return dice_loss(self.step(heads.distance), self.step(targets.distance), targets.supervision(), squared=True)


class ViewConsistency(nn.Module):
    """Mean squared difference between two views of a scan, of the mask probabilities plus of the distances.

    The batch holds two views of every scan: the first half are the first views, the second half the second views of
    the same scans in the same order.
    """

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        first_mask, second_mask = torch.sigmoid(heads.logits).chunk(2)
        first_distance, second_distance = heads.distance.chunk(2)
        error = (first_mask - second_mask).square() + (first_distance - second_distance).square()
        return supervised_mean(error, targets.known.chunk(2)[0].expand_as(error))
