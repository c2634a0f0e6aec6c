"""Mean errors that neither the size of a structure nor the room around it decides."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dualtask.losses.overlap import VOXELS_OF_THE_BATCH, mean_of_each


class Strata:
    """Mean error of three strata of each structure, which weigh alike however few voxels they hold.

    The strata are the structure, the band around it and what is farther away than the truncation distance T. Far voxels
    outnumber those of a lesion by a thousand to one, so that in a plain mean the best answer is "far away" everywhere.
    The sum is always divided by three: in a crop without the structure "far away" counts a third, and does not outweigh
    the crops that show it.

    The stratum of a lesion is its inside, the smallest of all: whether there is one is the question. An organ is always
    there, and the question is where it ends. Its stratum reaches beyond the surface, so that the voxels on both sides
    weigh the same: were it the inside alone, one of them would outweigh ten of the band, and where the surface is
    uncertain the estimate would move outwards.

    Of what is far from a lesion, the organ weighs as much as everything else: among a hundred times as many voxels it
    would not count, and a head that calls the whole organ a lesion would pay next to nothing for it.

    Args:
        reach: signed distance / T up to which a voxel belongs to the stratum of its structure, in [0, 1), for each
            structure; the organ comes first. At 0 the stratum is the inside.
    """

    def __init__(self, reach: Sequence[float]) -> None:
        self.reach = tuple(float(each) for each in reach)

    def __call__(self, error: torch.Tensor, distance: torch.Tensor, supervision: torch.Tensor) -> torch.Tensor:
        """The mean over strata and structures, a scalar.

        Args:
            error: [B, S, X, Y, Z].
            distance: [B, S, X, Y, Z] true signed distance / T in [-1, 1].
            supervision: [B, S, X, Y, Z], see :meth:`dualtask.losses.Targets.supervision`.
        """
        reach = torch.tensor(self.reach[: distance.shape[1]], device=distance.device).view(-1, 1, 1, 1)
        near, far = distance < reach, distance >= 1
        organ = distance[:, :1] < 0
        means = [mean_of_each(error, supervision * stratum) for stratum in (near, ~near & ~far)]
        return torch.stack([*means, _mean_of_parts(error, supervision, (far & organ, far & ~organ))]).mean()


def _mean_of_parts(error: torch.Tensor, supervision: torch.Tensor, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean of the means of those parts that the batch shows, [S]."""
    weights = [supervision * part for part in parts]
    shown = torch.stack([weight.sum(VOXELS_OF_THE_BATCH) > 0 for weight in weights]).sum(0)
    return torch.stack([mean_of_each(error, weight) for weight in weights]).sum(0) / shown.clamp_min(1)
