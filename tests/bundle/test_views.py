"""Views: random changes of the intensities that leave the anatomy in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import interpolate, ndimage

from dualtask.views import AcquisitionView, RandConv
from dualtask.views.acquisition import apply_curve, random_curve, random_kernel
from dualtask.views.view import View

SEEDS = range(60)
both = pytest.mark.parametrize("view", [RandConv(), AcquisitionView()], ids=["randconv", "acquisition"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def image():
    """Smooth synthetic organs with 20 % of saturated voxels, like a scan in its window: [1, 1, 32, 32, 32]."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((32, 32, 32)), 3)
    return torch.from_numpy(np.clip(0.5 + 0.4 * noise / noise.std(), 0, 1)).float()[None, None]


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


@both
def test_view_has_the_shape_type_and_range_of_the_image(view, image):
    batch = image.expand(3, -1, -1, -1, -1)
    for seed in range(10):
        result = view(batch, generator(seed))
        assert result.shape == batch.shape and result.dtype == batch.dtype
        assert result.min() >= 0 and result.max() <= 1


@both
def test_same_seed_gives_the_same_view_and_others_differ(view, image):
    assert torch.equal(view(image, generator(1)), view(image, generator(1)))
    assert not torch.allclose(view(image, generator(1)), view(image, generator(2)), atol=1e-2)


@both
def test_samples_have_parameters_of_their_own(view, image):
    first, second = view(image.expand(2, -1, -1, -1, -1), generator())
    assert not torch.allclose(first, second, atol=1e-2)


@both
def test_view_of_a_sample_does_not_depend_on_the_samples_after_it(view, image):
    alone = view(image, generator())
    assert torch.equal(view(torch.cat([image, 1 - image]), generator())[:1], alone)


@both
def test_image_is_left_as_it_was_and_gets_no_gradient(view, image):
    before = image.clone()
    assert not view(image.clone().requires_grad_(), generator()).requires_grad
    view(image, generator())
    assert torch.equal(image, before)


@both
def test_autocast_does_not_change_the_view(view, image):
    expected = view(image, generator())
    with torch.autocast("cpu", torch.bfloat16):
        result = view(image, generator())
    assert result.dtype == torch.float32
    assert torch.equal(result, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@both
def test_view_is_the_same_on_the_gpu(view, image):
    torch.testing.assert_close(view(image.cuda(), generator()).cpu(), view(image, generator()), atol=2e-3, rtol=0)


def test_non_finite_view_falls_back_to_its_own_image(image):
    class Breaking(View):
        def view(self, sample, generator):
            return torch.full_like(sample, torch.nan) if sample.mean() > 0.5 else 1 - sample

    dark, bright = 0.4 * image, 0.6 + 0.4 * image
    views = Breaking()(torch.cat([dark, bright]))
    assert torch.equal(views, torch.cat([1 - dark, bright]))


@both
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_constant_image_stays_finite(view, value):
    assert view(torch.full((1, 1, 8, 8, 8), value), generator()).isfinite().all()


def test_randconv_fills_the_range_or_returns_the_image(image):
    for seed in range(20):
        view = RandConv()(image, generator(seed))
        assert torch.equal(view, image) or (view.min() == 0 and view.max() == 1)


def test_acquisition_views_clip_few_voxels(image):
    inside = (image > 0) & (image < 1)
    clipped = []
    for seed in SEEDS:
        scan = AcquisitionView().acquire(image, generator(seed))[inside]
        clipped.append(float(((scan < 0) | (scan > 1)).float().mean()))
    assert np.mean(clipped) < 0.01
    assert max(clipped) < 0.08


def test_acquisition_views_leave_a_share_of_the_samples_as_they_are(image):
    batch = image.expand(200, -1, -1, -1, -1)[..., :8, :8, :8]
    views = AcquisitionView(prob=0.5)(batch, generator())
    same = sum(torch.equal(view, sample) for view, sample in zip(views, batch, strict=True))
    assert 70 <= same <= 130
    # A share of one changes every sample, and one of zero none.
    assert not any(map(torch.equal, AcquisitionView()(batch, generator()), batch))
    assert torch.equal(AcquisitionView(prob=0.0)(batch, generator()), batch)


def test_acquisition_views_keep_the_contrasts(image):
    assert min(correlation(AcquisitionView()(image, generator(seed)), image) for seed in SEEDS) > 0.8


def test_acquisition_views_differ_visibly(image):
    change = [float((AcquisitionView()(image, generator(seed)) - image).abs().mean()) for seed in SEEDS]
    assert 0.04 < np.median(change) < 0.15


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_intensity_curve_rises_and_stays_in_range(seed):
    values = apply_curve(torch.linspace(0, 1, 101), random_curve(0.8, generator(seed)))
    assert (values.diff() > 0).all()
    assert 0.03 <= values[0] <= 0.1 and 0.9 - 1e-6 <= values[-1] <= 0.97 + 1e-6


def test_intensity_curve_is_the_bernstein_polynomial():
    curve = random_curve(0.8, generator())
    x = np.linspace(0, 1, 11)
    expected = interpolate.BPoly(curve.double().numpy()[:, None], [0, 1])(x)
    np.testing.assert_allclose(apply_curve(torch.from_numpy(x), curve), expected, atol=1e-6)


def test_equal_steps_of_the_curve_are_the_identity():
    x = torch.linspace(0, 1, 11)
    torch.testing.assert_close(apply_curve(x, torch.linspace(0, 1, 6)), x)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_kernel_sums_to_one(seed):
    kernel = random_kernel(generator(seed))
    assert kernel.shape in {(3, 3, 3), (5, 5, 5), (7, 7, 7)}
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)


def test_kernels_both_blur_and_sharpen():
    centres = [float(kernel[(kernel.shape[0] // 2,) * 3]) for kernel in map(random_kernel, map(generator, SEEDS))]
    assert min(centres) < 0.6
    assert max(centres) > 1.2
