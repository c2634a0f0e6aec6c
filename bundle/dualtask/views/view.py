"""What all views have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import nn


class View(nn.Module, ABC):
    """A random change of the intensities of a scan that leaves its anatomy in place.

    Random numbers are drawn on the CPU, so that a seed gives one and the same view on every device. No gradient flows
    through a view.
    """

    @torch.no_grad()
    def forward(self, image: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Change each sample with random parameters of its own.

        Args:
            image: [B, 1, X, Y, Z] in [0, 1].
            generator: of the CPU; makes the views reproducible.

        Returns:
            [B, 1, X, Y, Z] in [0, 1]; a sample whose view has a non-finite voxel is returned as it came.
        """
        # bf16 would quantise the intensities to 256 steps.
        with torch.autocast(image.device.type, enabled=False):
            views = torch.cat([self.view(sample, generator) for sample in image.split(1)])
        finite = views.isfinite().all(dim=(1, 2, 3, 4), keepdim=True)
        return torch.where(finite, views, image)

    @abstractmethod
    def view(self, image: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """One view of one sample [1, 1, X, Y, Z]."""


def uniform(low: float, high: float, generator: torch.Generator | None) -> float:
    """A draw from U(low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def choice(options: Sequence[int], generator: torch.Generator | None) -> int:
    """A draw with equal chances."""
    return options[int(torch.randint(len(options), (), generator=generator))]
