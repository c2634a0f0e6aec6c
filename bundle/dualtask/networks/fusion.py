"""How the estimates of the two tasks become one."""

from __future__ import annotations

import torch


def memberships(masks: torch.Tensor) -> torch.Tensor:
    """Fuzzy class memberships from the probabilities of the nested structures.

    With AND as minimum and NOT as complement, the arg max equals thresholding both structures at 0.5 and keeping the
    lesion inside the organ, which an arg max over differences of probabilities would not.

    Args:
        masks: [B, 2, ...] probabilities of the whole pancreas and of the lesion.

    Returns:
        [B, 3, ...] in [0, 1]: background, pancreas, lesion. They need not sum to one.
    """
    pancreas, lesion = masks[:, 0], masks[:, 1]
    healthy = torch.minimum(pancreas, 1 - lesion)
    return torch.stack([1 - pancreas, healthy, torch.minimum(pancreas, lesion)], dim=1)
