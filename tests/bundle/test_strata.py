"""Errors that neither the size of a structure nor the cut of a target decides."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtask.losses import Strata
from dualtask.losses.overlap import supervised_mean
from dualtask.losses.supervised import censored_error

STRATA = Strata(reach=(0.5, 0.0))

INSIDE, SURROUNDINGS, BAND, FAR = -0.5, 0.3, 0.7, 1.0


def line(*parts: tuple[int, float]) -> torch.Tensor:
    """Voxels in a row, [1, 1, 1, 1, N]: so many of each value."""
    return torch.cat([torch.full((count,), float(value)) for count, value in parts])[None, None, None, None]


@pytest.mark.parametrize("counts", [(1, 1, 1), (1, 10, 1000), (500, 3, 2)])
def test_each_stratum_weighs_a_third_whatever_its_size(counts):
    distance = line(*zip(counts, (INSIDE, BAND, FAR), strict=True))
    error = line(*zip(counts, (0.6, 0.3, 0.9), strict=True))
    assert STRATA(error, distance, torch.ones_like(error)).item() == pytest.approx((0.6 + 0.3 + 0.9) / 3)


@pytest.mark.parametrize(("stratum", "value"), [("inside", INSIDE), ("band", BAND), ("far", FAR)])
def test_a_crop_of_one_stratum_counts_a_third(stratum, value):
    error = line((7, 0.6))
    assert STRATA(error, torch.full_like(error, value), torch.ones_like(error)).item() == pytest.approx(0.2)


def test_the_surroundings_of_the_organ_are_of_its_stratum_and_those_of_a_lesion_of_the_band():
    of_organ = line((1, INSIDE), (1, SURROUNDINGS), (1, 0.49), (1, 0.5), (1, 0.99), (1, 1.0))
    of_lesion = line((1, -0.01), (1, 0.0), (1, SURROUNDINGS), (1, 0.5), (1, 0.99), (1, 1.0))
    distance = torch.cat([of_organ, of_lesion], dim=1)
    error = torch.cat([line((3, 0.3), (2, 0.6), (1, 0.9)), line((1, 0.3), (4, 0.6), (1, 0.9))], dim=1)
    assert STRATA(error, distance, torch.ones_like(error)).item() == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("reach", "truncation_mm", "between_mm", "least", "most"),
    [(0.5, 15, 12, 0.4, 2.5), (0.0, 15, 12, 4, 10), (0.0, 7.5, 5, 5, 10)],
    ids=["the organ as it is", "were its stratum the inside", "a lesion"],
)
def test_a_stratum_beyond_the_surface_lets_both_sides_weigh_alike_where_an_inside_weighs_more(
    reach, truncation_mm, between_mm, least, most
):
    """A voxel is inside where a ball is a little larger than it is far from the middle, and outside where smaller."""
    axis = torch.arange(-30.0, 31.0)
    away = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    shell = (away - between_mm).abs() < 0.5
    weights = []
    for radius in (between_mm * 1.2, between_mm * 0.8):
        truth = ((away - radius) / truncation_mm).clamp(-1, 1)[None, None]
        error = torch.ones_like(truth, requires_grad=True)
        Strata((reach,))(error, truth, torch.ones_like(truth)).backward()
        weights.append(error.grad[0, 0][shell].mean().item())
    assert least < weights[0] / weights[1] < most


def test_voxels_that_do_not_teach_have_no_part_in_a_stratum():
    distance, error = line((2, INSIDE), (2, BAND), (2, FAR)), line((1, 0.3), (1, 9.0), (4, 0.3))
    supervision = line((1, 1), (1, 0), (4, 1))
    assert STRATA(error, distance, supervision).item() == pytest.approx(0.3)


def test_strata_are_pooled_over_the_batch_and_averaged_over_the_structures():
    distance = torch.tensor([[[INSIDE], [FAR]], [[FAR], [FAR]]])[..., None, None]
    error = torch.tensor([[[0.3], [0.9]], [[0.6], [0.3]]])[..., None, None]
    organ, lesion = (0.3 + 0.6) / 3, (0.9 + 0.3) / 2 / 3
    assert STRATA(error, distance, torch.ones_like(error)).item() == pytest.approx((organ + lesion) / 2)


@pytest.mark.parametrize("organ_voxels", [1, 20, 400])
def test_of_what_is_far_from_a_lesion_the_organ_weighs_as_much_as_everything_else(organ_voxels):
    organ = line((organ_voxels, INSIDE), (500, FAR))
    lesion = torch.full_like(organ, FAR)
    called_lesion, right = line((organ_voxels, 2.0), (500, 0.0)), torch.zeros_like(organ)
    error, distance = torch.cat([right, called_lesion], dim=1), torch.cat([organ, lesion], dim=1)
    mean_of_the_lesion = STRATA(error, distance, torch.ones_like(error)).item() * 2
    assert mean_of_the_lesion == pytest.approx(2.0 / 2 / 3)


def test_without_an_organ_the_rest_is_all_that_is_far_from_a_lesion():
    distance = torch.cat([line((4, FAR)), line((4, FAR))], dim=1)
    error = torch.cat([line((4, 0.0)), line((4, 0.6))], dim=1)
    assert STRATA(error, distance, torch.ones_like(error)).item() == pytest.approx(0.6 / 3 / 2)


@pytest.mark.parametrize("mean", [supervised_mean, lambda error, taught: STRATA(error, error, taught)])
def test_without_a_voxel_that_teaches_the_error_is_zero(mean):
    error = line((4, 0.7))
    assert mean(error, torch.zeros_like(error)).item() == 0


def test_the_stratified_mean_has_the_gradient_of_its_value():
    distance = line((2, INSIDE), (3, BAND), (4, FAR)).double()
    error = torch.rand(distance.shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e: STRATA(e, distance, torch.ones_like(e)), error)


@pytest.mark.parametrize(
    ("target", "estimate", "error"),
    [
        (0.2, 0.5, 0.3),
        (0.2, -0.1, 0.3),
        (-0.4, 3.0, 3.4),
        (1.0, 0.7, 0.3),
        (1.0, 1.0, 0.0),
        (1.0, 5.0, 0.0),
        (1.0, -2.0, 3.0),
        (-1.0, -0.7, 0.3),
        (-1.0, -5.0, 0.0),
        (-1.0, 2.0, 3.0),
    ],
)
def test_the_error_is_absolute_but_for_what_lies_beyond_a_cut(target, estimate, error):
    assert censored_error(torch.tensor(estimate), torch.tensor(target)).item() == pytest.approx(error)


@settings(max_examples=100)
@given(truth=st.floats(-4, 4), estimate=st.floats(-4, 4))
def test_an_estimate_beyond_the_cut_on_the_side_of_the_truth_is_no_error(truth, estimate):
    target = torch.tensor(truth).clamp(-1, 1)
    error = censored_error(torch.tensor(estimate), target).item()
    right = abs(truth) >= 1 and estimate * truth > 0 and abs(estimate) >= 1
    assert error == (0 if right else pytest.approx(abs(estimate - target.item()), abs=1e-6))
    assert censored_error(torch.tensor(truth), target) == 0


@settings(max_examples=50)
@given(target=st.floats(-1, 1), estimate=st.floats(-4, 4))
def test_the_error_of_the_mirrored_question_is_the_same(target, estimate):
    first = censored_error(torch.tensor(estimate), torch.tensor(target))
    assert torch.equal(first, censored_error(torch.tensor(-estimate), torch.tensor(-target)))


def test_a_wrong_estimate_has_a_gradient_however_far_it_is():
    target = torch.tensor([-0.5, -0.5, 1.0, 0.3], dtype=torch.float64)
    estimate = torch.tensor([50.0, 1.5, -8.0, -30.0], dtype=torch.float64, requires_grad=True)
    censored_error(estimate, target).sum().backward()
    assert estimate.grad.tolist() == [1, 1, -1, -1]
    assert torch.autograd.gradcheck(lambda e: censored_error(e, target), estimate)
