"""How the estimates of the two tasks become one."""

from __future__ import annotations

import torch

from dualtask.distances.heaviside import step_logits

FUSIONS = {
    "classification": (0.0, 0.0),
    "mean": (0.5, 0.5),
    "regression": (1.0, 1.0),
    "regression_of_organ": (1.0, 0.0),
}
"""Share of the regression head, as the logits of H(distance), in the logits of the probability of organ and lesion."""

_ORGAN_EXCLUDED = 0.1


def fused(
    logits: torch.Tensor, distance: torch.Tensor, sharpness: torch.Tensor, regression_share: torch.Tensor
) -> torch.Tensor:
    """Mask probabilities of both heads: their logits are averaged, as independent evidence adds up in log odds.

    Args:
        logits: [B, 2, ...] of the classification head.
        distance: [B, 2, ...] of the regression head, signed distance / truncation distance.
        sharpness: k of each structure, see :func:`dualtask.distances.heaviside.step_logits`.
        regression_share: of the regression head in the mean, [1, 2, 1, 1, 1], one of ``FUSIONS``.

    Returns:
        float32 [B, 2, ...] in [0, 1].
    """
    of_distance = step_logits(distance.float(), sharpness)
    return torch.sigmoid((1 - regression_share) * logits.float() + regression_share * of_distance)


def nested(masks: torch.Tensor, organ_excluded: float = _ORGAN_EXCLUDED) -> torch.Tensor:
    """Probabilities that respect the anatomy: a lesion lies in the organ, so what is lesion is organ.

    The organ head tends to leave out lesions, which do not look like pancreas; dropping the lesion there would keep
    the weaker of two statements. Where the organ is as good as excluded the lesion is not heard: training teaches it
    in and near the organ only.

    Args:
        masks: [B, 2, ...] probabilities of the whole pancreas and of the lesion.
        organ_excluded: probability of the organ up to which it counts as excluded.

    Returns:
        [B, 2, ...], nowhere more lesion than pancreas.
    """
    lesion = masks[:, 1:] * (masks[:, :1] > organ_excluded)
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
