"""Dice loss and mean errors over the voxels that labels teach."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss


def dice_loss(
    estimate: torch.Tensor, target: torch.Tensor, supervision: torch.Tensor, squared: bool = False
) -> torch.Tensor:
    """Mean over the structures of 1 - Dice, with sums over the whole batch.

    Sums over the batch keep crops without a lesion from adding a constant each. A structure that no scan of the batch
    annotates adds nothing.

    Args:
        estimate, target: [B, S, X, Y, Z] in [0, 1].
        supervision: [B, S, X, Y, Z] in {0, 1}, see :meth:`dualtask.losses.Targets.supervision`.
        squared: squared denominators, with which two equal soft masks have zero loss.
    """
    return DiceLoss(batch=True, squared_pred=squared)(estimate * supervision, target * supervision)


def supervised_mean(error: torch.Tensor, supervision: torch.Tensor) -> torch.Tensor:
    """Mean over the structures of the mean voxel-wise error [B, S, X, Y, Z] where labels teach; zero where none do."""
    voxels = (0, 2, 3, 4)
    return ((error * supervision).sum(voxels) / supervision.sum(voxels).clamp_min(1)).mean()
