"""The way to the network's grid: block means before interpolation, each voxel in its place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from dualtask.transforms import ResampleToSpacingd
from dualtask.transforms.resample import block_means

SPACING = (3.0, 3.0, 3.0)
AFFINES = {
    "thin": np.diag([0.8, 0.8, 1.25, 1.0]),
    "thick slices": np.diag([0.7, 0.7, 5.0, 1.0]),
    "mirrored": np.diag([-0.8, -0.9, 1.5, 1.0]) + np.outer([30, 20, -10, 0], [0, 0, 0, 1]),
    "axes permuted": np.array([[0, 0, 1.0, -9], [-0.75, 0, 0, 12], [0, 0.75, 0, 5], [0, 0, 0, 1]]),
}
each_affine = pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())


def volume(values: torch.Tensor, affine: np.ndarray) -> MetaTensor:
    return MetaTensor(values, affine=torch.as_tensor(affine), meta={"filename_or_obj": "scan.nii.gz"})


def ramp(affine: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    """A linear function of the place in mm, [1, X, Y, Z]."""
    places = np.einsum("ij,jxyz->ixyz", np.asarray(affine), np.stack([*np.indices(shape), np.ones(shape)]))
    return torch.as_tensor(0.03 * places[0] - 0.02 * places[1] + 0.01 * places[2] + 7, dtype=torch.float32)[None]


def resample(**maps: MetaTensor) -> dict[str, MetaTensor]:
    modes = ["nearest" if name == "label" else "bilinear" for name in maps]
    return ResampleToSpacingd(keys=list(maps), spacing=SPACING, mode=modes)(maps)


@pytest.mark.parametrize("factors", [(3, 3, 2), (4, 1, 2)])
def test_block_means_are_numpys(factors):
    image = volume(torch.rand(1, 12, 9, 8), np.diag([*(3.0 / np.array(factors)), 1.0]))
    means = block_means(image, SPACING)
    x, y, z = (slice(0, size - size % factor) for size, factor in zip((12, 9, 8), factors, strict=True))
    whole = image.numpy()[0, x, y, z]
    blocks = [n for size, factor in zip(whole.shape, factors, strict=True) for n in (size // factor, factor)]
    expected = whole.reshape(blocks).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(means[0][tuple(map(slice, expected.shape))], expected, rtol=1e-5)
    np.testing.assert_allclose(means.pixdim, SPACING, rtol=1e-6)


def test_the_last_block_is_the_mean_of_what_is_left():
    image = volume(torch.arange(7.0).expand(1, 7, 1, 7).clone(), np.diag([3.0, 3.0, 1.0, 1.0]))
    assert block_means(image, SPACING)[0, 0, 0].tolist() == [1.0, 4.0, 6.0]


def test_a_grid_of_less_than_twice_as_many_voxels_is_taken_as_it_is():
    image = volume(torch.rand(1, 6, 6, 6), np.diag([1.6, 3.0, 5.0, 1.0]))
    assert block_means(image, SPACING) is image


def test_a_side_that_is_a_whole_part_of_the_spacing_but_for_rounding_makes_whole_blocks():
    image = volume(torch.rand(1, 6, 6, 6), np.diag([1.0000001, 0.9999999, 1.0, 1.0]))
    assert block_means(image, SPACING).shape == (1, 2, 2, 2)


@each_affine
def test_a_linear_function_of_the_place_stays_the_same_function(affine):
    shape = (40, 42, 36)
    image = resample(image=volume(ramp(affine, shape), affine))["image"]
    expected = ramp(image.affine.numpy(), image.shape[1:])
    # Behind the centres of the outermost blocks the border is repeated.
    inner = (0, *[slice(2, -2)] * 3)
    assert image[inner].numel() > 0
    torch.testing.assert_close(image.as_tensor()[inner], expected[inner], atol=2e-3, rtol=0)


@each_affine
def test_further_maps_come_to_the_grid_of_the_image(affine):
    shape = (40, 42, 36)
    label = torch.zeros(1, *shape)
    label[:, 10:30, 10:32, 8:28] = 2
    known = torch.rand(1, *shape)
    found = resample(image=volume(known.clone(), affine), label=volume(label, affine), known=volume(known, affine))
    torch.testing.assert_close(found["known"].as_tensor(), found["image"].as_tensor(), atol=1e-5, rtol=0)
    np.testing.assert_allclose(found["label"].affine, found["image"].affine)
    assert set(found["label"].unique().tolist()) == {0, 2}
    voxel_mm3 = abs(np.linalg.det(affine[:3, :3]))
    assert (found["label"] == 2).sum() * 27 == pytest.approx(20 * 22 * 20 * voxel_mm3, rel=0.25)


def test_what_changes_from_voxel_to_voxel_is_averaged_and_not_taken_for_something_coarser():
    checkers = torch.from_numpy(np.indices((48, 48, 48)).sum(0) % 2).float()[None]
    image = resample(image=volume(checkers, np.diag([0.75, 0.75, 0.75, 1.0])))["image"]
    torch.testing.assert_close(image.as_tensor(), torch.full(image.shape, 0.5))


def test_noise_falls_with_the_voxels_that_a_new_one_holds():
    noise = torch.randn(1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    image = resample(image=volume(noise, np.diag([0.75, 0.75, 0.75, 1.0])))["image"]
    assert image.std() < 1.2 / 4**1.5


def test_the_resampled_image_remembers_the_scan_that_it_was_made_of():
    image = volume(torch.rand(1, 12, 12, 12), AFFINES["thin"])
    image.meta["spatial_shape"] = (12, 12, 12)
    found = resample(image=image)["image"]
    assert found.meta["filename_or_obj"] == "scan.nii.gz"
    assert tuple(found.meta["spatial_shape"]) == (12, 12, 12)
    np.testing.assert_allclose(found.pixdim, SPACING, rtol=1e-5)
