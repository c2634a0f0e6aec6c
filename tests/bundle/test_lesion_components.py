"""Lesions that are too small become pancreas, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from scipy import ndimage

from dualtask.transforms import LesionComponentsd

AFFINE = torch.tensor([[0.0, 2, 0, 9], [-1, 0, 0, 5], [0, 0, 5, 1], [0, 0, 0, 1]])
VOXEL_ML = 0.01


def lesions(*sides: int) -> MetaTensor:
    """A pancreas with lesions of so many voxels along the first axis, two voxels apart."""
    label = torch.zeros(1, 40, 5, 5, dtype=torch.uint8)
    label[:, :, 1:4, 1:4] = 1
    start = 0
    for side in sides:
        label[:, start : start + side, 2, 2] = 2
        start += side + 2
    return MetaTensor(label, affine=AFFINE)


def sizes(label: torch.Tensor) -> list[int]:
    """Voxels of the lesion components, in their order along the first axis."""
    components, count = ndimage.label(np.asarray(label[0]) == 2, np.ones((3, 3, 3)))
    return [int((components == number).sum()) for number in range(1, count + 1)]


def apply(label: MetaTensor, **bounds: float) -> MetaTensor:
    return LesionComponentsd("pred", **bounds)({"pred": label})["pred"]


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        ({}, [8, 1, 3, 4]),
        ({"least_ml": 0.03}, [8, 3, 4]),  # three voxels of 10 mm3
        ({"least_ml": 0.031}, [8, 4]),
        ({"least_ml": 1.0}, []),
        ({"least_share": 0.5}, [8, 4]),
        ({"least_share": 0.51}, [8]),
        ({"least_share": 1.0}, [8]),
        ({"least_ml": 0.02, "least_share": 0.375}, [8, 3, 4]),
    ],
)
def test_components_below_a_bound_become_pancreas(bounds, kept):
    label = lesions(8, 1, 3, 4)
    result = apply(label, **bounds)
    assert sizes(result) == kept
    assert (result.dtype, result.shape) == (label.dtype, label.shape)
    assert torch.equal(result.affine, label.affine)


def test_components_that_touch_at_a_corner_are_one():
    label = lesions(2)
    label[0, 2, 3, 3] = 2
    assert sizes(apply(label, least_ml=3 * VOXEL_ML)) == [3]


@pytest.mark.parametrize("value", [0, 1])
def test_a_map_without_lesions_stays_as_it_is(value):
    label = MetaTensor(torch.full((1, 4, 4, 4), value, dtype=torch.uint8), affine=AFFINE)
    assert torch.equal(apply(label, least_ml=5, least_share=0.5), label)


@given(
    seed=st.integers(0, 2**16),
    share=st.floats(0.02, 0.4),
    least_ml=st.floats(0, 0.3),
    least_share=st.floats(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_it_adds_no_lesion_keeps_the_organ_and_is_done_after_once(seed, share, least_ml, least_share):
    rng = np.random.default_rng(seed)
    voxels = rng.choice([0, 1, 2], (1, 9, 8, 7), p=[0.3, 0.7 - share, share]).astype(np.uint8)
    label = MetaTensor(torch.from_numpy(voxels), affine=AFFINE)
    before = label.clone()
    once = apply(label, least_ml=least_ml, least_share=least_share)
    assert torch.equal(label, before)
    assert torch.equal(once >= 1, label >= 1)
    assert not ((once == 2) & (label != 2)).any()
    assert set(sizes(once)) <= set(sizes(label))
    assert all(size * VOXEL_ML >= least_ml - 1e-9 for size in sizes(once))
    assert torch.equal(apply(once, least_ml=least_ml, least_share=least_share), once)


@pytest.mark.parametrize("bounds", [{"least_ml": -1}, {"least_share": -0.1}, {"least_share": 1.1}])
def test_bounds_that_mean_nothing_are_refused(bounds):
    with pytest.raises(ValueError, match="must not be negative"):
        LesionComponentsd("pred", **bounds)
