"""Crops are bent smoothly, without folds, all keys alike."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from dualtask.transforms import RandFreeFormd
from dualtask.transforms.free_form import cubic_splines

SIZE = (24, 20, 16)
DRAWN = (40, 36, 32)


def bending(**changes):
    settings = {
        "keys": ["image", "label"],
        "spatial_size": SIZE,
        "prob": 1.0,
        "spacing": (3.0, 3.0, 3.0),
        "control_spacing": 30.0,
        "rotate_range": (0, 0, 0),
        "scale_range": (0, 0, 0),
        "translate_range": (0, 0, 0),
        "mode": ["bilinear", "nearest"],
        "padding_mode": ["zeros", "border"],
    }
    return RandFreeFormd(**{**settings, **changes})


def coordinates(axis):
    """A crop whose value is the coordinate along an axis, in voxels from its centre."""
    along = torch.arange(DRAWN[axis], dtype=torch.float32) - (DRAWN[axis] - 1) / 2
    return along.reshape([-1 if a == axis else 1 for a in range(3)]).expand(DRAWN)[None].clone()


def bent_coordinates(transform, seed):
    """[3, X, Y, Z]: where each voxel of the result was seen, as the result of coordinates as images."""
    seen = []
    for axis in range(3):
        transform.set_random_state(seed)
        seen.append(transform({"image": coordinates(axis), "label": torch.zeros(1, *DRAWN)})["image"][0])
    return torch.stack(seen).numpy()


def straight_coordinates():
    return np.stack(np.meshgrid(*[np.arange(side) - (side - 1) / 2 for side in SIZE], indexing="ij"))


def test_an_untouched_crop_is_the_middle_of_what_was_drawn():
    image = torch.rand(1, *DRAWN)
    result = bending(prob=0.0)({"image": image, "label": image.round()})
    assert result["image"].shape == (1, *SIZE)
    torch.testing.assert_close(torch.as_tensor(result["image"]), image[:, 8:-8, 8:-8, 8:-8], atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_the_bend_is_the_cubic_spline_of_its_control_points(seed):
    transform = bending()
    displacement = (bent_coordinates(transform, seed) - straight_coordinates()) * 3.0
    knots = np.arange(-3, 8) * 30.0
    along = [BSpline.design_matrix(np.arange(side) * 3.0, knots, 3).toarray() for side in SIZE]
    along = [splines[:, splines.any(axis=0)] for splines in along]
    design = np.einsum("xi,yj,zk->xyzijk", *along).reshape(np.prod(SIZE), -1)
    for component in displacement:
        fitted, *_ = np.linalg.lstsq(design, component.ravel(), rcond=None)
        np.testing.assert_allclose(design @ fitted, component.ravel(), atol=1e-2)
    assert 0.1 < np.abs(displacement).max() < 0.4 * 30


@pytest.mark.parametrize("seed", range(8))
def test_space_does_not_fold(seed):
    seen = bent_coordinates(bending(), seed)
    jacobian = np.stack([np.stack(np.gradient(component), axis=-1) for component in seen], axis=-2)
    assert np.linalg.det(jacobian).min() > 0


def test_label_and_image_are_bent_alike():
    image = (coordinates(0) > 0).float()
    transform = bending(rotate_range=(0.3, 0.3, 0.3), scale_range=(0.2, 0.2, 0.2)).set_random_state(3)
    result = transform({"image": image, "label": image.clone()})
    assert ((result["image"] > 0.5) == (result["label"] > 0.5)).float().mean() > 0.99
    assert not torch.equal(torch.as_tensor(result["label"]), (coordinates(0) > 0).float()[:, 8:-8, 8:-8, 8:-8])


def test_the_bend_depends_on_millimetres_not_on_voxels():
    coarse = cubic_splines(10, 6.0, 30.0)
    fine = cubic_splines(20, 3.0, 30.0)
    torch.testing.assert_close(fine[::2, : coarse.shape[1]], coarse)


def test_a_seed_repeats_a_bend():
    image = torch.rand(1, *DRAWN)
    one, two, other = (
        bending().set_random_state(seed)({"image": image, "label": image})["image"] for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
