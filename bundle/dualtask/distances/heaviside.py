"""Distance to mask: the smooth Heaviside step, and the hard one for comparison."""

from __future__ import annotations

import torch
from torch import nn


def smooth_heaviside(distance: torch.Tensor, sharpness: float) -> torch.Tensor:
    """Soft mask of a truncated signed distance: sigmoid(-k d), 1 inside and 0 outside.

    With d = distance / T the transition has a width of T / k mm. Widths of 0.4 to 1 voxel sides keep the gradient of
    a Dice loss close to the exact one; a hard threshold has no gradient at all.

    Args:
        distance: signed distance / truncation distance, any shape, negative inside.
        sharpness: k.
    """
    return torch.sigmoid(-sharpness * distance)


class SmoothHeaviside(nn.Module):
    """:func:`smooth_heaviside` with its k, as the losses' step from a distance to a mask.

    Args:
        sharpness: k.
    """

    def __init__(self, sharpness: float) -> None:
        super().__init__()
        self.sharpness = float(sharpness)

    def forward(self, distance: torch.Tensor) -> torch.Tensor:
        return smooth_heaviside(distance, self.sharpness)


class HardStep(nn.Module):
    """1 where the distance is negative, else 0, with no gradient: the reciprocal transformation of the authors' code.

    A control for ablations. A loss behind it takes values that look like those of the smooth one and teaches nothing.
    """

    def forward(self, distance: torch.Tensor) -> torch.Tensor:
        return (distance < 0).to(distance.dtype)
