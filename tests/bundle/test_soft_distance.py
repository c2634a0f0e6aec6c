"""The differentiable signed distance of a soft mask."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dualtask.distances import signed_distance, soft
from dualtask.distances.soft import soft_signed_distance

TRUNCATION = 15.0


def grid(shape, spacing):
    axes = [(np.arange(size) - (size - 1) / 2) * side for size, side in zip(shape, spacing, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def sphere_distance(shape, spacing, radius, shift=0.0):
    x, y, z = grid(shape, spacing)
    return np.sqrt((x - shift) ** 2 + y**2 + z**2) - radius


def as_mask(distance):
    return torch.from_numpy((distance <= 0).astype(np.float32))


def mean_error(estimate, truth):
    truth = np.clip(truth, -TRUNCATION, TRUNCATION)
    return np.abs(estimate.numpy() - truth)[np.abs(truth) < TRUNCATION].mean()


@pytest.mark.parametrize(("spacing", "shape"), [((1, 1, 1), (56, 56, 56)), ((0.8, 0.8, 2.5), (70, 70, 22))])
@pytest.mark.parametrize(("radius", "tolerance"), [(12, 0.2), (5, 0.45)])
def test_distance_of_a_sphere(spacing, shape, radius, tolerance):
    truth = sphere_distance(shape, spacing, radius)
    assert mean_error(soft_signed_distance(as_mask(truth), spacing, TRUNCATION), truth) < tolerance


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [0.7, 1.5, 5.0])
def test_distance_of_a_half_space_is_exact_along_every_axis_and_spacing(axis, side):
    spacing, shape = [1.0, 1.0, 1.0], [10, 10, 10]
    spacing[axis], shape[axis] = side, 16
    boundary = 7.5 * side
    position = np.arange(16) * side
    mask = np.zeros(shape, dtype=np.float32)
    np.moveaxis(mask, axis, 0)[position < boundary] = 1
    distance = soft_signed_distance(torch.from_numpy(mask), spacing, TRUNCATION).numpy()
    truth = np.clip(position - boundary, -TRUNCATION, TRUNCATION)
    lines = np.moveaxis(distance, axis, -1).reshape(-1, 16)
    # In thick slices the sampled kernel knows the boundary only to a fraction of the half voxel.
    assert np.abs(lines - truth).max() < max(0.15, 0.4 * side)
    assert np.abs(lines - lines[0]).max() < 1e-4


@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_soft_edges_and_a_sigmoid_tail_do_not_move_the_distance(slope):
    truth = sphere_distance((56, 56, 56), (1, 1, 1), 12)
    soft = torch.sigmoid(torch.from_numpy(-4 * slope * truth))
    assert mean_error(soft_signed_distance(soft, (1, 1, 1), TRUNCATION), truth) < 0.35


def test_band_is_right_over_a_background_of_one_percent():
    truth = sphere_distance((56, 56, 56), (1, 1, 1), 12)
    probability = 0.01 + 0.98 * torch.sigmoid(torch.from_numpy(-4 * truth))
    distance = soft_signed_distance(probability, (1, 1, 1), TRUNCATION).numpy()
    assert np.abs(distance - truth)[np.abs(truth) < 5].mean() < 0.25


@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_the_exact_transform_on_irregular_shapes(seed):
    spacing = (0.8, 0.8, 2.5)
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((64, 64, 24)), [6, 6, 2])
    mask = noise > 0.5 * noise.std()
    exact = signed_distance(mask, spacing, TRUNCATION)
    estimate = soft_signed_distance(torch.from_numpy(mask.astype(np.float32)), spacing, TRUNCATION)
    assert mean_error(estimate, exact) < 0.4
    assert ((estimate.numpy() < 0) == mask)[np.abs(exact) > 1].all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_complement_has_the_opposite_distance(seed):
    probability = torch.rand((6, 7, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    distance = soft_signed_distance(probability, (1, 1, 2), TRUNCATION)
    torch.testing.assert_close(soft_signed_distance(1 - probability, (1, 1, 2), TRUNCATION), -distance)


@pytest.mark.parametrize(("value", "expected"), [(0.0, TRUNCATION), (1.0, -TRUNCATION)])
def test_empty_and_full_masks_are_far_from_any_surface(value, expected):
    probability = torch.full((8, 9, 10), value, requires_grad=True)
    distance = soft_signed_distance(probability, (1, 1, 1), TRUNCATION)
    assert (distance == expected).all()
    distance.sum().backward()
    assert (probability.grad == 0).all()


def test_undecided_mask_lies_on_the_surface_and_has_a_gradient():
    probability = torch.full((8, 8, 8), 0.5, requires_grad=True)
    distance = soft_signed_distance(probability, (1, 1, 1), TRUNCATION)
    assert distance.abs().max() < 1e-6
    distance.sum().backward()
    assert (probability.grad < 0).all()


def test_gradient_is_that_of_the_uncorrected_distance():
    def uncorrected(probability):
        spectrum = soft._cosine_transform(probability**2 / (probability**2 + (1 - probability) ** 2))
        return soft._diffusion_distance(spectrum, (1.0, 1.0, 2.0), 0.75, 1.5 * TRUNCATION)

    generator = torch.Generator().manual_seed(0)
    probability = 0.1 + 0.8 * torch.rand((3, 4, 3), generator=generator, dtype=torch.float64)
    probability.requires_grad_()
    assert torch.autograd.gradcheck(uncorrected, probability)
    weights = torch.rand((3, 4, 3), generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad((weights * uncorrected(probability)).sum(), probability)
    distance = soft_signed_distance(probability, (1.0, 1.0, 2.0), TRUNCATION)
    torch.testing.assert_close(torch.autograd.grad((weights * distance).sum(), probability), expected)


@pytest.mark.parametrize(("radius", "shift"), [(8, 4), (11, 0), (5, 0)], ids=["shifted", "too large", "too small"])
def test_descent_moves_a_wrong_mask_to_the_target(radius, shift):
    shape, spacing = (28, 28, 28), (1.0, 1.0, 1.0)
    target = sphere_distance(shape, spacing, 8)
    truth = torch.from_numpy(signed_distance(target <= 0, spacing, TRUNCATION))
    start = torch.from_numpy(-2 * sphere_distance(shape, spacing, radius, shift)).float()
    logits = start.clamp(-5, 5).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.2)

    def dice():
        mask, reference = (logits > 0).numpy(force=True), target <= 0
        return 2 * (mask & reference).sum() / (mask.sum() + reference.sum())

    before = dice()
    for _ in range(40):
        distance = soft_signed_distance(logits.sigmoid(), spacing, TRUNCATION)
        optimiser.zero_grad()
        (distance - truth).abs().mean().backward()
        optimiser.step()
    assert before < 0.7
    assert dice() > 0.88


def test_leading_dimensions_are_independent_masks():
    masks = torch.stack([as_mask(sphere_distance((16, 16, 16), (1, 1, 1), radius)) for radius in (3, 6)])
    together = soft_signed_distance(masks[None], (1, 1, 1), TRUNCATION)
    for index in range(2):
        torch.testing.assert_close(together[0, index], soft_signed_distance(masks[index], (1, 1, 1), TRUNCATION))


def test_autocast_keeps_the_precision():
    mask = as_mask(sphere_distance((24, 24, 24), (1, 1, 1), 6))
    expected = soft_signed_distance(mask, (1, 1, 1), TRUNCATION)
    with torch.autocast("cpu", torch.bfloat16):
        distance = soft_signed_distance(mask.bfloat16(), (1, 1, 1), TRUNCATION)
    assert distance.dtype == torch.float32
    torch.testing.assert_close(distance, expected)


def test_truncation_beyond_the_digits_of_float64_is_refused():
    with pytest.raises(ValueError, match=r"at least 1\.0 mm"):
        soft_signed_distance(torch.zeros(4, 4, 4), (1, 1, 1), truncation=20.0, decay=0.75)
    assert math.isclose(float(soft_signed_distance(torch.zeros(4, 4, 4), (1, 1, 1), 20.0, decay=1.0).max()), 20.0)
