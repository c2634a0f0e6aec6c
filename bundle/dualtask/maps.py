"""The maps that inference returns, and how they are made of the outputs of the two heads."""

from __future__ import annotations

import torch

from dualtask.distances.heaviside import smooth_heaviside
from dualtask.networks.fusion import nested
from dualtask.structures import STRUCTURES

_STRUCTURES = len(STRUCTURES)
MAPS = {
    name: slice(index * _STRUCTURES, (index + 1) * _STRUCTURES)
    for index, name in enumerate(("probability", "distance", "uncertainty"))
}
"""Channels of each map in the tensor that :class:`dualtask.inferers.CascadeInferer` returns; one for each structure."""


def fuse_heads(outputs: torch.Tensor, sharpness: float, truncation: float, regression_share: float) -> torch.Tensor:
    """The maps of the channels ``MAPS`` from the outputs of the heads.

    The uncertainty is the disagreement of the two tasks, |p - H(r)| in [0, 1]: where one anatomy was estimated in two
    ways and the answers differ, at least one of them is wrong. Lesions are estimated in and near the organ only.

    Args:
        outputs: [B, 4, ...] from :func:`dualtask.inferers.heads.head_outputs`.
        sharpness: k of the smooth Heaviside step H.
        truncation: truncation distance in mm.
        regression_share: share of H(r) in the probability, see ``dualtask.networks.fusion.FUSIONS``.

    Returns:
        [B, 6, ...]: probabilities, signed distances in mm, uncertainties.
    """
    classification, distance = outputs.chunk(2, dim=1)
    regression = smooth_heaviside(distance, sharpness)
    probability = nested((1 - regression_share) * classification + regression_share * regression)
    heard = torch.cat([torch.ones_like(probability[:, :1]), probability[:, 1:] > 0], dim=1)
    distance = torch.where(heard > 0, distance, torch.ones_like(distance))
    uncertainty = (classification - regression).abs() * heard
    return torch.cat([probability, distance * truncation, uncertainty], dim=1)


def scan_uncertainty(maps: torch.Tensor) -> dict[str, float]:
    """How much the two tasks disagree on a scan.

    Args:
        maps: [6, X, Y, Z].

    Returns:
        structure -> mean uncertainty, in [0, 1], of the voxels that were assigned to it (probability > 0.5) or might as
        well have been (uncertainty > 0.5). Without any such voxel it is 1 for the pancreas, which an abdominal scan
        shows, and 0 for the lesion, which it need not show.
    """
    result = {}
    for structure, probability, uncertainty in zip(
        STRUCTURES, maps[MAPS["probability"]], maps[MAPS["uncertainty"]], strict=True
    ):
        candidates = uncertainty[(probability > 0.5) | (uncertainty > 0.5)]
        nothing_found = float(structure == "pancreas")
        result[structure] = float(candidates.mean()) if len(candidates) else nothing_found
    return result
