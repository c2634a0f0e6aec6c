"""The differentiable distance of a soft mask against the plain screened-Poisson solve, side by side in one run.

On a sphere: error in mm against the exact distance, time and memory of a
forward and a backward pass, and how far gradient descent on the loss mask -> distance moves a misplaced mask back.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy import fft

from dualtask.distances import signed_distance, soft_signed_distance

SPACING = (3.0, 3.0, 3.0)
SHAPE = (64, 48, 40)
TRUNCATION = 15.0
_BANDS = (10.0, 5.0)

Distance = Callable[[torch.Tensor], torch.Tensor]


def screened_poisson(probability: torch.Tensor, t: float = 1.0) -> torch.Tensor:
    """Distance -sqrt(t) log(2 u) on either side of u = 1/2, where u - t Laplacian(u) = probability (seven points, DCT).

    Args:
        probability: [X, Y, Z].
        t: in mm^2.
    """
    eigenvalues = 0
    for axis, (size, side) in enumerate(zip(probability.shape, SPACING, strict=True)):
        frequencies = (2 - 2 * np.cos(np.pi * np.arange(size) / size)) / side**2
        eigenvalues = eigenvalues + frequencies.reshape([-1 if i == axis else 1 for i in range(3)])
    spectrum = probability.double()
    matrices = [torch.from_numpy(fft.dct(np.eye(size), norm="ortho", axis=0)) for size in probability.shape]
    for axis, matrix in enumerate(matrices):
        spectrum = torch.tensordot(matrix, spectrum, dims=([1], [axis])).movedim(0, axis)
    diffused = spectrum / (1 + t * torch.from_numpy(eigenvalues))
    for axis, matrix in enumerate(matrices):
        diffused = torch.tensordot(matrix.T, diffused, dims=([1], [axis])).movedim(0, axis)
    inside = diffused > 0.5
    tail = 2 * torch.where(inside, 1 - diffused, diffused)
    distance = -math.sqrt(t) * torch.log(tail.clamp_min(math.exp(-TRUNCATION / math.sqrt(t))))
    return torch.where(inside, -distance, distance)


def sphere(shift: float, radius: float = 16.0) -> np.ndarray:
    """A ball, its centre moved along the first axis by ``shift`` mm."""
    axes = [
        (np.arange(size) - (size - 1) / 2) * side - (shift if axis == 0 else 0)
        for axis, (size, side) in enumerate(zip(SHAPE, SPACING, strict=True))
    ]
    return sum(np.square(values) for values in np.ix_(*axes)) <= radius**2


def errors(distance: Distance, softness: float) -> tuple[float, float]:
    """Mean absolute error in mm in bands of 10 and of 5 mm about the surface.

    Args:
        distance: what is measured.
        softness: mm over which the probability of the mask falls off; 0 for a hard mask.
    """
    mask = sphere(0)
    exact = torch.from_numpy(signed_distance(mask, SPACING, TRUNCATION))
    probability = torch.sigmoid(-exact / softness) if softness else torch.from_numpy(mask).double()
    error = (distance(probability).clamp(-TRUNCATION, TRUNCATION) - exact).abs()
    return tuple(float(error[exact.abs() <= band].mean()) for band in _BANDS)


def seconds(distance: Distance, repeats: int) -> tuple[float, float]:
    """Medians of forward and of backward time."""
    times: list[tuple[float, float]] = []
    for _ in range(repeats):
        probability = torch.rand(SHAPE, requires_grad=True)
        start = time.perf_counter()
        result = distance(probability).abs().mean()
        middle = time.perf_counter()
        result.backward()
        times.append((middle - start, time.perf_counter() - middle))
    return tuple(statistics.median(column) for column in zip(*times, strict=True))


def saved_megabytes(distance: Distance) -> float:
    """Memory that the forward pass keeps for the backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        distance(torch.rand(SHAPE, requires_grad=True)).abs().mean()
    return sum(kept.values()) / 1e6


def dice_after_descent(distance: Distance, shift: float, steps: int) -> tuple[float, float]:
    """Dice with the target before and after descending the loss from a mask that is misplaced by ``shift`` mm."""
    target = torch.from_numpy(signed_distance(sphere(0), SPACING, TRUNCATION))
    start = signed_distance(sphere(shift), SPACING, TRUNCATION)
    logits = torch.from_numpy(-start / 1.5).double().clamp(-8, 8).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.2)

    def dice() -> float:
        mask, reference = logits.detach() > 0, target < 0
        return float(2 * (mask & reference).sum() / (mask.sum() + reference.sum()))

    before = dice()
    for _ in range(steps):
        optimiser.zero_grad()
        (distance(torch.sigmoid(logits)).clamp(-TRUNCATION, TRUNCATION) - target).abs().mean().backward()
        optimiser.step()
    return before, dice()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    methods: dict[str, Distance] = {
        "screened Poisson, t = 1 mm2": screened_poisson,
        "ours, decay 0.75 mm": partial(soft_signed_distance, spacing=SPACING, truncation=TRUNCATION),
    }
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"grid {SHAPE}, spacing {SPACING} mm, truncation {TRUNCATION} mm, sphere of radius 16 mm\n")
    print("| method | hard mask: MAE in 10 (5) mm | soft mask: MAE in 10 (5) mm | forward / backward | saved | Dice |")
    print("|---|---|---|---|---|---|")
    reference: tuple[float, float] | None = None
    for name, distance in methods.items():
        times = seconds(distance, arguments.repeats)
        reference = reference or times
        ratios = " / ".join(f"{value / base:.2f}" for value, base in zip(times, reference, strict=True))
        hard, soft = ("{:.2f} ({:.2f})".format(*errors(distance, softness)) for softness in (0.0, 1.0))
        before, after = dice_after_descent(distance, shift=6.0, steps=arguments.steps)
        print(
            f"| {name} | {hard} | {soft} | {ratios} | {saved_megabytes(distance):.0f} MB "
            f"| {before:.3f} to {after:.3f} |"
        )


if __name__ == "__main__":
    main()
