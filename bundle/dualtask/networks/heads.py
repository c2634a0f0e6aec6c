"""What the network's heads return."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Heads(NamedTuple):
    """Outputs of the tasks for the structures pancreas and lesion.

    Attributes:
        logits: [B, 2, X, Y, Z] of the classification head.
        distance: [B, 2, X, Y, Z] of the regression head, signed distance / truncation distance in (-1, 1), negative
            inside.
        embedding: [B, 32, X/s, Y/s, Z/s] of the projection head at the stride s of the bottleneck (rounded up).
        presence: [B, Z] logits of "this axial slice shows a lesion".
    """

    logits: torch.Tensor
    distance: torch.Tensor
    embedding: torch.Tensor
    presence: torch.Tensor
