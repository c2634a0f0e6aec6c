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
        supervision: [B, S, X, Y, Z], see :meth:`dualtask.losses.Targets.supervision`; Dice balances by itself, so that
            only its zeros matter here.
        squared: squared denominators, with which two equal soft masks have zero loss.
    """
    taught = (supervision > 0).to(estimate)
    return DiceLoss(batch=True, squared_pred=squared)(estimate * taught, target * taught)


def supervised_mean(error: torch.Tensor, supervision: torch.Tensor) -> torch.Tensor:
    """Weighted mean of a voxel-wise error [B, S, X, Y, Z], averaged over the structures; 0 where no label teaches."""
    voxels = (0, 2, 3, 4)
    return ((error * supervision).sum(voxels) / supervision.sum(voxels).clamp_min(1)).mean()
