"""How the estimates of the two tasks become one."""

from __future__ import annotations

import torch

from dualtask.structures import NEAR_ORGAN


def near_organ(distance: torch.Tensor, reach: float = NEAR_ORGAN) -> torch.Tensor:
    """Where the lesion head has been taught: in the estimated organ and its near surroundings.

    Args:
        distance: [B, 2, ...] of the regression head, signed distance / truncation distance of pancreas and lesion.
        reach: largest distance to the organ, in truncation distances.

    Returns:
        boolean [B, 1, ...].
    """
    return distance[:, :1] < reach


def nested(masks: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    """Probabilities that respect the anatomy: a lesion lies in the organ, so what is lesion is organ.

    The organ head tends to leave out lesions, which do not look like pancreas; dropping the lesion there would keep
    the weaker of two statements. Away from the organ nothing taught the lesion head, and it is not heard.

    Args:
        masks: [B, 2, ...] probabilities of the whole pancreas and of the lesion.
        near: boolean [B, 1, ...], see :func:`near_organ`.

    Returns:
        [B, 2, ...], nowhere more lesion than pancreas.
    """
    lesion = masks[:, 1:] * near
    return torch.cat([torch.maximum(masks[:, :1], lesion), lesion], dim=1)


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
