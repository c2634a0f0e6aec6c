"""A term that teaches which organs lie around the pancreas."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from dualtask.losses.overlap import dice_loss, supervised_mean
from dualtask.losses.targets import Targets
from dualtask.networks.heads import Heads


class NeighbouringOrgans(nn.Module):
    """Dice + cross entropy of the head of neighbouring organs, over the voxels whose organ is known.

    Few patients with a labelled pancreas show how it looks, and many voxels of other organs show what is not pancreas:
    stomach and vessels that are told from it by name are taken for it less often. A batch without a known voxel adds
    nothing.
    """

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        assert heads.organs is not None and targets.organs is not None, "neither network nor data teach organs"
        supervision = targets.known * (targets.organs >= 0)
        organs = targets.organs[:, 0].clamp_min(0).long()
        cross_entropy = functional.cross_entropy(heads.organs, organs, reduction="none")[:, None]
        masks = functional.one_hot(organs, heads.organs.shape[1]).movedim(-1, 1)
        overlap = dice_loss(heads.organs.softmax(dim=1), masks, supervision.expand_as(masks))
        return overlap + supervised_mean(cross_entropy, supervision)
