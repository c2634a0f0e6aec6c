"""What the heads are compared with."""

from __future__ import annotations

from typing import NamedTuple

import torch

from dualtask.networks.heads import Heads


class Targets(NamedTuple):
    """Targets for the structures pancreas and lesion.

    Attributes:
        masks: [B, 2, X, Y, Z] in {0, 1}.
        distance: [B, 2, X, Y, Z] signed distance / truncation distance of each structure in [-1, 1], negative inside.
        sites: uint8 [B, 1, X/s, Y/s, Z/s] sites of the contrastive term, see :mod:`dualtask.contrast`.
        annotated: [B, 2], 1 where the structure was annotated in the scan; supervised terms leave out the rest, so
            that a scan without labels does not teach that it holds no lesion.
        known: [B, 1, X, Y, Z], 1 where the scan shows something; elsewhere no term teaches anything.
        teacher: what the averaged network says of another view of the same crops, without gradient; None where no term
            asks for it.
        organs: [B, 1, X, Y, Z] class of the organ, negative where it is not known; None where organs around the
            pancreas are not taught.
    """

    masks: torch.Tensor
    distance: torch.Tensor
    sites: torch.Tensor
    annotated: torch.Tensor
    known: torch.Tensor
    teacher: Heads | None = None
    organs: torch.Tensor | None = None

    def supervision(self) -> torch.Tensor:
        """1 where a voxel teaches a structure and 0 where the label or the scan says nothing: [B, 2, X, Y, Z]."""
        return self.known * self.annotated[:, :, None, None, None]
