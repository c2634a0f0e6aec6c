"""Dice of validation, over the scans that say anything about a structure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from monai.metrics import DiceMetric

from dualtask.structures import STRUCTURES


class StructureDice(DiceMetric):
    """Mean Dice of structures over scans; a scan in which a structure was not annotated does not count for it.

    A scan without the structure has 1 where none is found and 0 where one is, so that the mean over such scans alone is
    the share of them without a false alarm.

    Args:
        structures: that count, of ``dualtask.structures.STRUCTURES``.
        scans: which count: "all", those "with" the structure, or those "without" it.
    """

    def __init__(
        self, structures: Sequence[str] = STRUCTURES, scans: Literal["all", "with", "without"] = "all"
    ) -> None:
        super().__init__(ignore_empty=False)
        self.channels = [STRUCTURES.index(structure) for structure in structures]
        self.scans = scans

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Dice [B, structures] of masks [B, 2, X, Y, Z]; NaN, which no mean counts, where a scan does not count.

        Args:
            y_pred: of the network.
            y: of the reference, NaN in all voxels of a structure that was not annotated.
        """
        masks, reference = y_pred[:, self.channels], y[:, self.channels]
        counted = reference.flatten(2).isfinite().all(-1)
        if self.scans != "all":
            counted &= (reference.flatten(2) > 0).any(-1) == (self.scans == "with")
        dice = super()._compute_tensor(masks.nan_to_num(), reference.nan_to_num())
        return torch.where(counted, dice, math.nan)

    def aggregate(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The mean; NaN where no scan counted, for which MONAI has 0."""
        scores = self.get_buffer()
        return super().aggregate(*args, **kwargs) if scores.isfinite().any() else torch.tensor(math.nan)
