"""Dice loss and mean errors over the voxels that teach."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses import DiceLoss

_VOXELS_OF_THE_BATCH = (0, 2, 3, 4)


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
    return _mean(error, supervision).mean()


def stratified_mean(error: torch.Tensor, distance: torch.Tensor, supervision: torch.Tensor) -> torch.Tensor:
    """Mean error of three strata of each structure, which weigh alike however few voxels they hold.

    The strata are the inside (d < 0), the band outside (0 <= d < T) and what is farther away. Far voxels outnumber
    those of a lesion by a thousand to one, so that in a plain mean the best answer is "far away" everywhere. The sum is
    always divided by three: in a crop without the structure "far away" counts a third, and does not outweigh the crops
    that show it.

    Of what is far from a lesion, the organ weighs as much as everything else: among a hundred times as many voxels it
    would not count, and a head that calls the whole organ a lesion would pay next to nothing for it.

    Args:
        error: [B, S, X, Y, Z].
        distance: [B, S, X, Y, Z] true signed distance / truncation distance in [-1, 1]; the organ's comes first.
        supervision: [B, S, X, Y, Z], see :meth:`dualtask.losses.Targets.supervision`.

    Returns:
        scalar, averaged over the structures.
    """
    inside, far = distance < 0, distance >= 1
    organ = inside[:, :1]
    near = [_mean(error, supervision * stratum) for stratum in (inside, ~inside & ~far)]
    return torch.stack([*near, _mean_of_parts(error, supervision, (far & organ, far & ~organ))]).mean()


def _mean_of_parts(error: torch.Tensor, supervision: torch.Tensor, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean of the means of those parts that the batch shows, [S]."""
    weights = [supervision * part for part in parts]
    shown = torch.stack([weight.sum(_VOXELS_OF_THE_BATCH) > 0 for weight in weights]).sum(0)
    return torch.stack([_mean(error, weight) for weight in weights]).sum(0) / shown.clamp_min(1)


def _mean(error: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted mean over the batch's voxels, [S]; 0 where the weights are."""
    return (error * weight).sum(_VOXELS_OF_THE_BATCH) / weight.sum(_VOXELS_OF_THE_BATCH).clamp_min(1)
