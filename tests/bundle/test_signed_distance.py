"""The regression target: exact, in mm, symmetric about the surface, independent of the crop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from dualtask.distances import HardStep, SmoothHeaviside, signed_distance
from dualtask.losses import DistanceToMask, Strata, Targets
from dualtask.networks.heads import Heads
from dualtask.transforms import SignedDistanced

SPACING = (0.8, 1.1, 2.5)
FAR = 1000.0


def slab(axis: int, start: int, stop: int, shape: tuple[int, int, int] = (20, 22, 24)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    index: list[slice] = [slice(None)] * 3
    index[axis] = slice(start, stop)
    mask[tuple(index)] = True
    return mask


def sphere(radius: float, spacing: tuple[float, float, float], size: int = 41) -> tuple[np.ndarray, np.ndarray]:
    """Mask of a sphere and its exact signed distance, both on the same grid."""
    axes = [(np.arange(size) - size // 2) * side for side in spacing]
    exact = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij"))) - radius
    return exact < 0, exact


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_distance_to_a_slab_is_exact_along_every_axis_of_an_anisotropic_grid(axis):
    start, stop = 7, 15
    mask = slab(axis, start, stop)
    centres = np.arange(mask.shape[axis])
    surface_low, surface_high = start - 0.5, stop - 0.5
    expected = np.maximum(surface_low - centres, centres - surface_high) * SPACING[axis]
    profile = np.moveaxis(signed_distance(mask, SPACING, FAR), axis, 0)[:, 10, 10]
    off_medial_axis = np.abs(centres - (start + stop - 1) / 2) >= 1
    np.testing.assert_allclose(profile[off_medial_axis], expected[off_medial_axis], atol=1e-4)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 1.6)])
def test_distance_to_a_sphere_is_within_half_a_voxel_of_the_closed_form(spacing):
    mask, exact = sphere(10.0, spacing)
    error = np.abs(signed_distance(mask, spacing, FAR) - exact)
    assert error.max() <= 0.5 * max(spacing) + 1e-5
    assert error.mean() < 0.3 * max(spacing)


def test_distance_equals_scipy_up_to_the_half_voxel_of_the_surface():
    rng = np.random.default_rng(0)
    mask = ndimage.gaussian_filter(rng.standard_normal((32, 30, 28)), 3) > 0.02
    centre_to_centre = ndimage.distance_transform_edt(~mask, SPACING) - ndimage.distance_transform_edt(mask, SPACING)
    shift = centre_to_centre - signed_distance(mask, SPACING, FAR)
    assert np.all(np.sign(shift) == np.sign(centre_to_centre))
    assert np.abs(shift).min() >= 0.5 * min(SPACING) - 1e-5
    assert np.abs(shift).max() <= 0.5 * max(SPACING) + 1e-5


@settings(max_examples=25, deadline=None)
@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=9)))
def test_the_complement_has_the_opposite_distance(mask):
    np.testing.assert_array_equal(signed_distance(~mask, SPACING, 5.0), -signed_distance(mask, SPACING, 5.0))


@settings(max_examples=25, deadline=None)
@given(mask=hnp.arrays(bool, (6, 7, 8)), axis=st.integers(0, 2))
def test_flipping_the_mask_flips_the_distance(mask, axis):
    flipped = signed_distance(np.flip(mask, axis), SPACING, 5.0)
    np.testing.assert_allclose(flipped, np.flip(signed_distance(mask, SPACING, 5.0), axis), atol=1e-5)


def test_negative_inside_positive_outside_and_never_zero():
    mask, _ = sphere(8.0, SPACING)
    distance = signed_distance(mask, SPACING, 15.0)
    assert np.array_equal(distance < 0, mask)
    assert np.abs(distance).min() > 0


def test_truncated_at_the_given_distance():
    mask, _ = sphere(4.0, (1.0, 1.0, 1.0))
    distance = signed_distance(mask, (1.0, 1.0, 1.0), 6.0)
    whole = signed_distance(mask, (1.0, 1.0, 1.0), FAR)
    assert distance.max() == 6.0
    np.testing.assert_allclose(distance, np.clip(whole, -6.0, 6.0), atol=1e-5)


def test_the_margin_of_the_crop_does_not_change_the_target():
    mask, _ = sphere(6.0, SPACING)
    crop = (slice(8, 33), slice(8, 33), slice(14, 27))
    np.testing.assert_allclose(
        signed_distance(mask[crop], SPACING, 5.0), signed_distance(mask, SPACING, 5.0)[crop], atol=0.01
    )


def test_a_lesion_of_one_voxel_has_a_target():
    mask = np.zeros((9, 9, 9), bool)
    mask[4, 4, 4] = True
    distance = signed_distance(mask, (1.0, 1.0, 1.0), 15.0)
    assert distance[4, 4, 4] == pytest.approx(-0.5)
    assert distance[5, 4, 4] == pytest.approx(0.5)


@pytest.mark.parametrize(("fill", "expected"), [(False, 15.0), (True, -15.0)])
def test_a_mask_without_a_surface_is_far_away_everywhere(fill, expected):
    assert np.all(signed_distance(np.full((4, 5, 6), fill), SPACING, 15.0) == expected)


def test_the_transform_adds_the_distance_of_every_structure_in_units_of_the_truncation():
    masks = torch.zeros(2, 12, 12, 12)
    masks[0, 2:10, 2:10, 2:10] = 1
    masks[1, 3:6, 3:6, 3:6] = 1
    limits = (15.0, 7.5)
    distance = SignedDistanced(keys="label", spacing=SPACING, truncation=limits)({"label": masks})["label_distance"]
    assert distance.shape == masks.shape
    assert distance.dtype == torch.float32
    for found, mask, limit in zip(distance, masks, limits, strict=True):
        np.testing.assert_allclose(found, signed_distance(mask.numpy(), SPACING, limit) / limit, atol=1e-6)


def test_a_structure_that_is_not_there_is_far_away_in_units_of_its_own_truncation():
    masks = torch.zeros(2, 8, 8, 8)
    sample = SignedDistanced(keys="label", spacing=SPACING, truncation=(15.0, 7.5))({"label": masks})
    assert torch.all(sample["label_distance"] == 1)


def shifted_sphere_loss(shift: torch.Tensor) -> torch.Tensor:
    """Loss of the exact distance of a shifted sphere against that of the sphere at the origin; T = 15 mm."""
    axis = torch.arange(-30.0, 31.0)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")

    def distance(offset: torch.Tensor | float) -> torch.Tensor:
        from_surface = torch.sqrt((x - offset) ** 2 + y**2 + z**2 + 1e-6) - 12.0
        return (from_surface / 15.0).expand(1, 2, -1, -1, -1)

    truth = distance(0.0).clamp(-1, 1)
    everywhere = torch.ones(1, 1, *axis.shape * 3)
    targets = Targets((truth < 0).float(), truth, torch.zeros(0), torch.ones(1, 2), everywhere)
    estimate = distance(shift)
    return DistanceToMask(SmoothHeaviside((10.0, 10.0)), Strata(reach=(0.5, 0.0)))(
        Heads(estimate, estimate, estimate), targets
    )


@pytest.mark.parametrize("shift", [1.0, 2.0, 4.0, 8.0])
def test_distance_to_mask_has_a_gradient_that_moves_a_displaced_sphere_back(shift):
    position = torch.tensor(shift, requires_grad=True)
    shifted_sphere_loss(position).backward()
    step = 0.25
    ahead, behind = (shifted_sphere_loss(torch.tensor(shift + side)) for side in (step, -step))
    difference = (ahead - behind) / (2 * step)
    assert position.grad > 0.01
    assert position.grad == pytest.approx(difference.item(), rel=0.05)


def test_a_hard_threshold_would_have_no_gradient():
    step = SmoothHeaviside((10.0, 5.0))
    distance = torch.linspace(-1, 1, 9).expand(1, 2, 1, 1, 9).clone().requires_grad_()
    assert not HardStep()(distance).requires_grad
    assert torch.autograd.grad(step(distance).sum(), distance)[0].abs().min() > 0
    assert torch.autograd.gradcheck(step, distance.detach().double().requires_grad_())


def test_the_smooth_step_has_its_width_in_mm_whatever_the_truncation():
    width = 1.5
    mm = torch.linspace(-5, 5, 11).expand(1, 2, 1, 1, 11)
    limits = torch.tensor([15.0, 7.5])[:, None, None, None]
    organ, lesion = SmoothHeaviside([15.0 / width, 7.5 / width])(mm / limits)[0]
    torch.testing.assert_close(organ, lesion)
    torch.testing.assert_close(organ, torch.sigmoid(-mm[0, 0] / width))
