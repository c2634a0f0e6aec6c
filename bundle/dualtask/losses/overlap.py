"""Dice loss and mean error over the voxels that teach."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss

VOXELS_OF_THE_BATCH = (0, 2, 3, 4)
"""Axes of a tensor [B, S, X, Y, Z] that a mean for each structure is taken over."""


def dice_loss(
    estimate: torch.Tensor, target: torch.Tensor, supervision: torch.Tensor, squared: bool = False
) -> torch.Tensor:
    """Mean over the structures of 1 - Dice, with sums over the whole batch.

    Sums over the batch keep crops without a lesion from adding a constant each. A structure that no scan of the batch
    annotates adds nothing.

    Args:
        estimate, target: [B, S, X, Y, Z] in [0, 1].
        supervision: [B, S, X, Y, Z], see :meth:`dualtask.losses.Targets.supervision`.
        squared: squared denominators, with which two equal soft masks have zero loss.
    """
    return DiceLoss(batch=True, squared_pred=squared)(estimate * supervision, target * supervision)


def supervised_mean(error: torch.Tensor, supervision: torch.Tensor) -> torch.Tensor:
    """Mean of a voxel-wise error [B, S, X, Y, Z] over the voxels that teach and the structures; 0 where none does."""
    return mean_of_each(error, supervision).mean()


def mean_of_each(error: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted mean over the batch's voxels, [S]; 0 where the weights are."""
    return (error * weight).sum(VOXELS_OF_THE_BATCH) / weight.sum(VOXELS_OF_THE_BATCH).clamp_min(1)
