"""Distance to mask: the smooth Heaviside step, and the hard one for comparison."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def step_logits(distance: torch.Tensor, sharpness: torch.Tensor) -> torch.Tensor:
    """Logits -k d of the soft mask of a truncated signed distance, for estimates cut to [-1, 1] first.

    With d = distance / T and k = T / w the transition has a width of w mm, whatever the truncation distance T. Widths
    of 0.4 to 1 voxel sides keep the gradient of an overlap close to the exact one; a hard threshold has none at all.

    Args:
        distance: [B, S, X, Y, Z] signed distance / truncation distance of each structure, negative inside.
        sharpness: k of each structure, broadcast against ``distance``, see :func:`per_structure`.
    """
    return -sharpness * distance.clamp(-1, 1)


def per_structure(values: Sequence[float]) -> torch.Tensor:
    """Numbers, one a structure, in the shape [1, S, 1, 1, 1] that meets maps [B, S, X, Y, Z].

    Five axes, because a module with a buffer of four cannot be moved to the memory format channels_last_3d.
    """
    return torch.tensor([float(value) for value in values])[None, :, None, None, None]


class SmoothHeaviside(nn.Module):
    """Soft mask sigmoid(-k d) of a truncated signed distance [B, S, X, Y, Z]: 1 inside and 0 outside.

    Estimates are not cut: beyond the truncation distance the step is flat all the same.

    Args:
        sharpness: k = T / w of each structure, see :func:`step_logits`.
    """

    sharpness: torch.Tensor

    def __init__(self, sharpness: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("sharpness", per_structure(sharpness), persistent=False)

    def forward(self, distance: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(-self.sharpness.to(distance.device) * distance)


class HardStep(nn.Module):
    """1 where the distance is negative, else 0, with no gradient: the reciprocal transformation of the authors' code.

    A control for ablations. A loss behind it takes values that look like those of the smooth one and teaches nothing.
    """

    def forward(self, distance: torch.Tensor) -> torch.Tensor:
        return (distance < 0).to(distance.dtype)
