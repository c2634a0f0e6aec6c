"""Terms that teach each head its own target (arXiv 2505.01644, loss section)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from dualtask.losses.overlap import dice_loss, supervised_mean
from dualtask.losses.targets import Targets
from dualtask.networks.heads import Heads
from dualtask.structures import STRUCTURES


class Classification(nn.Module):
    """Dice + binary cross entropy of the classification head against the masks."""

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        cross_entropy = functional.binary_cross_entropy_with_logits(heads.logits, targets.masks, reduction="none")
        supervision = targets.supervision()
        overlap = dice_loss(torch.sigmoid(heads.logits), targets.masks, supervision)
        return overlap + supervised_mean(cross_entropy, supervision)


class Regression(nn.Module):
    """Mean absolute error of the regression head, in units of the truncation distance."""

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        return supervised_mean((heads.distance - targets.distance).abs(), targets.supervision())


class SlicePresence(nn.Module):
    """Binary cross entropy of "this axial slice shows a lesion".

    Args:
        smallest_section: a slice is positive when it holds more lesion voxels than this.
    """

    def __init__(self, smallest_section: int = 10) -> None:
        super().__init__()
        self.smallest_section = int(smallest_section)

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        lesion = STRUCTURES.index("lesion")
        present = (targets.masks[:, lesion].sum(dim=(1, 2)) > self.smallest_section).to(heads.presence)
        error = functional.binary_cross_entropy_with_logits(heads.presence, present, reduction="none").mean(dim=1)
        annotated = targets.annotated[:, lesion]
        return (error * annotated).sum() / annotated.sum().clamp_min(1)
