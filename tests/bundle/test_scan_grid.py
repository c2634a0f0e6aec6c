"""Maps on the network's grid come back to the voxels of the scan, however the scan lies in space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Orientationd, Spacingd

from dualtask.transforms import BoxIntoScand, BoxToScanGridd, LabelMapd

SHAPE = (30, 26, 14)
SCANS = {
    "axial": np.diag([1.5, 1.2, 3.0, 1]),
    "mirrored": np.diag([-1.5, -1.2, 3.0, 1]) + np.outer([40, 30, -20, 0], [0, 0, 0, 1]),
    "axes permuted": np.array([[0, 0, 2.5, -9], [-1.5, 0, 0, 12], [0, 1.2, 0, 5], [0, 0, 0, 1]]),
    "tilted gantry": np.array([[1.5, 0, 0, 0], [0, 1.2, 0.8, 0], [0, 0, 2.9, 0], [0, 0, 0, 1]]),
}


def preprocess(affine: np.ndarray) -> tuple[Compose, dict]:
    """The bundle's way to the network's grid, and a scan on that grid."""
    chain = Compose([Orientationd("image", axcodes="RAS", labels=None), Spacingd("image", pixdim=[2.0, 2.0, 2.5])])
    meta = {"filename_or_obj": "scan.nii.gz", "original_affine": affine, "spatial_shape": SHAPE}
    scan = MetaTensor(torch.rand(1, *SHAPE), affine=torch.as_tensor(affine), meta=meta)
    return chain, chain({"image": scan})


def places(affine: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    """Place [3, X, Y, Z] of each voxel in mm."""
    voxels = np.stack([*np.indices(shape), np.ones(shape)])
    return torch.as_tensor(np.einsum("ij,jxyz->ixyz", np.asarray(affine), voxels)[:3], dtype=torch.float32)


def there_and_back(data: dict, **outside: list[float]) -> dict:
    keys = [key for key in data if key != "image"]
    return BoxIntoScand(keys, outside)(BoxToScanGridd(keys)(data))


@pytest.mark.parametrize("affine", SCANS.values(), ids=SCANS.keys())
def test_every_voxel_of_the_scan_gets_the_value_of_its_place(affine):
    _, data = preprocess(affine)
    slope = torch.tensor([0.3, -0.2, 0.1])[:, None, None, None]

    def field(affine: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
        return 100 + (slope * places(affine, shape)).sum(0, keepdim=True)

    data["pred"] = field(data["image"].affine, data["image"].shape[1:])
    result = there_and_back(data)["pred"]
    assert result.shape == (1, *SHAPE)
    np.testing.assert_allclose(result.affine, affine)
    # Beyond the centres of the outermost voxels of the network's grid the value of the border is repeated.
    inner = (slice(None), *[slice(3, -3)] * 3)
    torch.testing.assert_close(result.as_tensor()[inner], field(affine, SHAPE)[inner], atol=2e-3, rtol=0)


@pytest.mark.parametrize("affine", SCANS.values(), ids=SCANS.keys())
def test_the_label_map_is_that_of_monais_inversion_of_the_whole_grid(affine):
    chain, data = preprocess(affine)
    centre = places(affine, SHAPE)[:, 13, 12, 7]
    away = (places(data["image"].affine, data["image"].shape[1:]) - centre[:, None, None, None]).norm(dim=0)
    maps = torch.stack([torch.sigmoid(radius - away) * (away < radius + 6) for radius in (9.0, 5.0)])
    ours = LabelMapd("pred")(there_and_back({**data, "pred": maps.clone()}))["pred"]
    inverted = Invertd("pred", chain, orig_keys="image", nearest_interp=False, to_tensor=True)
    reference = LabelMapd("pred")(inverted({**data, "pred": MetaTensor(maps.clone())}))["pred"]
    assert set(torch.unique(reference).tolist()) == {0, 1, 2}
    assert (ours != reference).float().mean() < 1e-4


def test_outside_the_box_each_map_has_the_value_that_was_asked_for():
    _, data = preprocess(SCANS["axial"])
    pred = torch.zeros(2, *data["image"].shape[1:])
    pred[:, 8:12, 6:9, 4:7] = 1
    data |= {"pred": pred, "distance": torch.where(pred > 0, -3.0, 15.0)}
    result = there_and_back(data, distance=[15.0, 7.5])
    assert result["pred"].max() == 1
    assert result["distance"].min() == -3
    corner = (slice(None), 0, 0, 0)
    assert result["pred"][corner].tolist() == [0, 0]
    assert result["distance"][corner].tolist() == [15, 7.5]
    assert result["pred"].meta["filename_or_obj"] == "scan.nii.gz"


def test_maps_that_say_nothing_become_an_empty_scan():
    _, data = preprocess(SCANS["mirrored"])
    data["pred"] = torch.zeros(2, *data["image"].shape[1:])
    result = there_and_back(data)["pred"]
    assert result.shape == (2, *SHAPE)
    assert not result.any()
