"""The maps that inference returns, and how they are made of the outputs of the two heads."""

from __future__ import annotations

import torch

from dualtask.distances.heaviside import step_logits
from dualtask.networks.fusion import fused, nested
from dualtask.structures import STRUCTURES

_STRUCTURES = len(STRUCTURES)
MAPS = {
    name: slice(index * _STRUCTURES, (index + 1) * _STRUCTURES)
    for index, name in enumerate(("probability", "distance", "uncertainty"))
}
"""Channels of each map in the tensor that :class:`dualtask.inferers.CascadeInferer` returns; one for each structure."""


def fuse_heads(
    outputs: torch.Tensor, sharpness: torch.Tensor, truncation: torch.Tensor, regression_share: torch.Tensor
) -> torch.Tensor:
    """The maps of the channels ``MAPS`` from the outputs of the heads.

    The uncertainty is the disagreement of the two tasks, |p - H(r)| in [0, 1]: where one anatomy was estimated in two
    ways and the answers differ, at least one of them is wrong. Lesions are sought in and near the organ only.

    Args:
        outputs: [B, 4, ...] from :func:`dualtask.inferers.heads.head_outputs`.
        sharpness: k of the smooth Heaviside step H of each structure, [1, 2, 1, 1, 1].
        truncation: truncation distance of each structure in mm, [1, 2, 1, 1, 1].
        regression_share: share of H(r) in the probability, [1, 2, 1, 1, 1], see ``dualtask.networks.fusion.FUSIONS``.

    Returns:
        [B, 6, ...]: probabilities, signed distances in mm, uncertainties.
    """
    logits, distance = outputs.chunk(2, dim=1)
    probability = nested(fused(logits, distance, sharpness, regression_share))
    heard = torch.cat([torch.ones_like(probability[:, :1]), probability[:, 1:] > 0], dim=1)
    distance = torch.where(heard > 0, distance, torch.ones_like(distance))
    uncertainty = (torch.sigmoid(logits) - torch.sigmoid(step_logits(distance, sharpness))).abs() * heard
    return torch.cat([probability, distance * truncation, uncertainty], dim=1)


def scan_uncertainty(maps: torch.Tensor) -> dict[str, float]:
    """How much the two tasks disagree on a scan, or how near a call it was whether it shows a structure at all.

    Summed over the voxels that count as the structure or might as well (probability or uncertainty > 0.5), the
    uncertainty is what only one of the tasks sees. Its share of all that either sees is a soft 1 - Dice between the
    two answers: 0 where both agree on what they see, near 1 where one of them alone sees anything. That is silent of a
    structure that both nearly see, or both see without being sure, which rules of lesions then take back; so a scan is
    at least as uncertain as its likeliest voxel: 0 where that has a probability of 0 or 1, 1 where it has 0.5.

    Args:
        maps: [6, X, Y, Z].

    Returns:
        structure -> uncertainty in [0, 1]. Where neither task sees the pancreas, which an abdominal scan shows, its
        uncertainty is 1.
    """
    result = {}
    for structure, probability, uncertainty in zip(
        STRUCTURES, maps[MAPS["probability"]], maps[MAPS["uncertainty"]], strict=True
    ):
        candidates = (probability > 0.5) | (uncertainty > 0.5)
        if candidates.any():
            apart = uncertainty[candidates]
            # p + q of the two soft masks: twice the fused probability where they agree. A fusion of logits follows the
            # surer of two that differ, but p + q stays between |p - q| and 2 - |p - q|.
            seen = (2 * probability[candidates]).clamp(apart, 2 - apart)
            disagreement = float(apart.sum() / seen.sum())
        else:
            disagreement = float(structure == "pancreas")
        result[structure] = max(disagreement, 1 - abs(2 * float(probability.max()) - 1))
    return result
