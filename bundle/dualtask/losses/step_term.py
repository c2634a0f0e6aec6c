"""What the terms have in common that turn a distance into a mask."""

from __future__ import annotations

from torch import nn


class StepTerm(nn.Module):
    """A term that holds H, the step from a distance to a mask.

    Args:
        step: H, see :mod:`dualtask.distances.heaviside`.
    """

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        self.step = step
