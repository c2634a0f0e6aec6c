"""Terms that teach each head its own target (arXiv 2505.01644, loss section)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from dualtask.losses.overlap import dice_loss, supervised_mean
from dualtask.losses.strata import Strata
from dualtask.losses.targets import Targets
from dualtask.networks.heads import Heads


class Classification(nn.Module):
    """Dice + binary cross entropy of the classification head against the masks."""

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        cross_entropy = functional.binary_cross_entropy_with_logits(heads.logits, targets.masks, reduction="none")
        supervision = targets.supervision()
        overlap = dice_loss(torch.sigmoid(heads.logits), targets.masks, supervision)
        return overlap + supervised_mean(cross_entropy, supervision)


class Regression(nn.Module):
    """Mean absolute error of the regression head in units of the truncation distance, censored and stratified.

    A target that was cut at the truncation distance says "at least so far": an estimate beyond it is no error
    (:func:`censored_error`).

    Args:
        strata: the mean that is taken.
    """

    def __init__(self, strata: Strata) -> None:
        super().__init__()
        self.strata = strata

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        error = censored_error(heads.distance, targets.distance)
        return self.strata(error, targets.distance, targets.supervision())


def censored_error(estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Absolute error of an unbounded estimate of a target that was cut to [-1, 1]; what lies beyond a cut is right.

    Args:
        estimate, target: any shape, the same.
    """
    error = estimate - target
    return torch.where(target >= 1, (-error).clamp_min(0), torch.where(target <= -1, error.clamp_min(0), error.abs()))
