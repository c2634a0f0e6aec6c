"""The reference's views."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from dualtask.views.view import View, choice, uniform


class RandConv(View):
    """Random convolution (arXiv 2505.01644, output-space self-supervision; Xu et al., ICLR 2021).

    A kernel of side 3, 5 or 7 with weights ~ N(0, 2 / fan_in) (Kaiming) and a bias ~ U(+-1 / sqrt(fan_in)); the result
    is mixed with the image by alpha ~ U(0, 1), clamped to [0, 1] and stretched to the full range.
    """

    def view(self, image: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        mixed = self.mix(image, generator).clamp(0, 1)
        return (mixed - mixed.min()) / (mixed.max() - mixed.min())

    @staticmethod
    def mix(image: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Image and convolved image mixed, before the clamp."""
        side = choice((3, 5, 7), generator)
        fan_in = side**3
        weight = torch.randn((1, 1, side, side, side), generator=generator) * math.sqrt(2 / fan_in)
        bias = uniform(-1, 1, generator) / math.sqrt(fan_in)
        alpha = uniform(0, 1, generator)
        convolved = functional.conv3d(image, weight.to(image), padding="same") + bias
        return alpha * image + (1 - alpha) * convolved
