"""How well a map tells the voxels of a structure from those around it, whatever the threshold."""

from __future__ import annotations

import math

import torch
from scipy.stats import rankdata


def separation_auc(inside: torch.Tensor, outside: torch.Tensor) -> float:
    """Area under the ROC curve: the chance that a voxel of the structure has the higher value, ties counting half.

    Args:
        inside, outside: [N] and [M], values of the map in the structure and around it.

    Returns:
        in [0, 1], 0.5 where the map says nothing; NaN where one of the two is empty.
    """
    if not len(inside) or not len(outside):
        return math.nan
    count = len(inside)
    # The statistic of Mann and Whitney: the number of pairs in order.
    in_order = rankdata(torch.cat([inside, outside]).numpy())[:count].sum() - count * (count + 1) / 2
    return float(in_order / (count * len(outside)))
