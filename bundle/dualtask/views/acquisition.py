"""Views that differ as two hospitals' scans of one patient do."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from dualtask.views.view import View, choice, uniform


class AcquisitionView(View):
    """Contrast phase, noise and reconstruction kernel, in the order in which a scanner applies them.

    - Contrast phase, tube voltage and window: a monotone intensity curve, the Bernstein polynomial of degree 5 with
      increments softmax(contrast N(0, 1)) from U(0.03, 0.1) at intensity 0 to U(0.9, 0.97) at 1. It keeps the order
      of intensities and leaves room for the noise at both ends.
    - Noise: Gaussian, its standard deviation ~ U(0, 0.04) in the finished view (14 HU in a window of 340 HU).
    - Reconstruction kernel, which gives the noise its texture: side 3, 5 or 7, blur (Gaussian of 0.5 to 1 voxels, share
      ~ U(0, 1)) or sharpening (share ~ U(-0.5, 0)), plus random weights ~ N(0, U(0, 0.3)^2 / fan_in) of zero sum. Its
      weights sum to one, so that no region shifts its mean.

    RandConv in contrast saturates whole regions and inverts contrasts, because the sign and the size of its kernel's
    sum are random.

    Args:
        contrast: spread of the intensity curve. Hounsfield units are calibrated: with 0.8 a contrast-filled bowel can
            look like a pancreas.
        prob: share of the samples that are changed. Inference shows scans as they are, whose air is exactly 0; no
            changed scan holds that value but where it is not known, and there no term teaches anything. A network that
            sees changed scans only may answer the air of a real one as it likes.
    """

    def __init__(self, contrast: float = 0.3, prob: float = 1.0) -> None:
        super().__init__()
        self.contrast = float(contrast)
        self.prob = float(prob)

    def view(self, image: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        if uniform(0, 1, generator) >= self.prob:
            return image
        return self.acquire(image, generator).clamp(0, 1)

    def acquire(self, image: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """The view before the clamp."""
        curve = random_curve(self.contrast, generator)
        kernel = random_kernel(generator)
        noise_level = uniform(0, 0.04, generator) / float(kernel.norm())
        noise = torch.randn(image.shape, generator=generator).to(image)
        scan = apply_curve(image, curve).add_(noise, alpha=noise_level)
        # Repeating the edge keeps the border at its own intensity.
        padded = functional.pad(scan, [kernel.shape[0] // 2] * 6, mode="replicate")
        return functional.conv3d(padded, kernel[None, None].to(image))


def random_curve(contrast: float, generator: torch.Generator | None) -> torch.Tensor:
    """Bernstein coefficients [6] of a monotone map of [0, 1] into itself; equal increments are the identity."""
    low, high = uniform(0.03, 0.1, generator), uniform(0.9, 0.97, generator)
    increments = torch.softmax(contrast * torch.randn(5, generator=generator), dim=0)
    return low + (high - low) * torch.cat([torch.zeros(1), increments.cumsum(0)])


def apply_curve(image: torch.Tensor, curve: torch.Tensor) -> torch.Tensor:
    """Evaluate the Bernstein polynomial with the coefficients ``curve`` [n + 1] at each voxel, by Horner's scheme."""
    degree = len(curve) - 1
    # Differences of Bernstein coefficients are monomial coefficients.
    monomials = [math.comb(degree, power) * float(curve.diff(n=power)[0]) for power in range(degree + 1)]
    result = torch.full_like(image, monomials[-1])
    for coefficient in reversed(monomials[:-1]):
        result.mul_(image).add_(coefficient)
    return result


def random_kernel(generator: torch.Generator | None) -> torch.Tensor:
    """Near-identity kernel [side, side, side] whose weights sum to one."""
    side = choice((3, 5, 7), generator)
    identity = torch.zeros(side, side, side)
    identity[(side // 2,) * 3] = 1
    profile = torch.exp(-0.5 * (torch.arange(side) - side // 2).square() / uniform(0.5, 1, generator) ** 2)
    gaussian = profile[:, None, None] * profile[:, None] * profile
    share = uniform(0, 1, generator) if choice((0, 1), generator) else uniform(-0.5, 0, generator)
    texture = torch.randn(identity.shape, generator=generator) * uniform(0, 0.3, generator) / side**1.5
    return identity + share * (gaussian / gaussian.sum() - identity) + texture - texture.mean()
