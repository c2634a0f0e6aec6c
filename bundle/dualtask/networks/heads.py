"""What the network's heads return."""

# No `from __future__ import annotations`: TorchScript does not read the types of a NamedTuple that are strings.
from typing import NamedTuple

import torch


class Heads(NamedTuple):
    """Outputs of the tasks for the structures pancreas and lesion.

    Attributes:
        logits: [B, 2, X, Y, Z] of the classification head.
        distance: float32 [B, 2, X, Y, Z] of the regression head, an unbounded estimate of signed distance / truncation
            distance of each structure, negative inside. Who makes a map or a mask of it cuts it to [-1, 1].
        embedding: [B, 32, X/s, Y/s, Z/s] of the projection head at the stride s of the bottleneck (rounded up).
        organs: [B, C, X, Y, Z] logits of the classes of organs around the pancreas; None where none are taught.
    """

    logits: torch.Tensor
    distance: torch.Tensor
    embedding: torch.Tensor
    organs: torch.Tensor | None = None

    def in_float32(self) -> "Heads":
        """The same in float32: bf16 has too few digits for sums over a volume."""
        return Heads(*(None if output is None else output.float() for output in self))
