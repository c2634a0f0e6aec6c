"""Scans that show a part of the body: what they do not show is neither seen, nor taught, nor mixed into the rest."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose, Lambdad, ScaleIntensityRanged

from dualtask.contrast import LESION
from dualtask.transforms import (
    ContrastSitesd,
    FillUnknown,
    KnownVoxels,
    OnlySupervisedd,
    RandHideSurroundings,
    ResampleToSpacingd,
)

UNKNOWN = -2048.0
SHAPE = (24, 22, 40)
FIRST, LAST = 13, 27
"""Axial slices that the slab shows."""


def slab(tissue: float = 70.0) -> MetaTensor:
    """Tissue of one intensity in some axial slices; the others hold the value for unknown."""
    image = torch.full((1, *SHAPE), UNKNOWN)
    image[..., FIRST : LAST + 1] = tissue
    return MetaTensor(image, affine=torch.diag(torch.tensor([0.8, 0.8, 0.9, 1.0], dtype=torch.float64)))


PREPROCESSING = Compose(
    [
        KnownVoxels(image_key="image"),
        Lambdad("image", partial(torch.clamp, min=-100, max=240)),
        ResampleToSpacingd(["image", "known"], (3.0, 3.0, 3.0), ["bilinear", "bilinear"], allow_missing_keys=True),
        ScaleIntensityRanged("image", a_min=-100, a_max=240, b_min=0, b_max=1),
        FillUnknown(image_key="image"),
    ]
)
"""The bundle's way from HU to the network's grid."""


def test_without_the_entry_every_voxel_is_known():
    image = slab()
    assert torch.equal(KnownVoxels(image_key="image")({"image": image})["image"], image)
    data = PREPROCESSING({"image": image})
    assert data["known"].shape == data["image"].shape
    assert data["known"].min() == 1


def test_voxels_that_hold_the_value_for_unknown_are_filled_with_air_and_the_entry_is_used_up():
    data = KnownVoxels(image_key="image")({"image": slab(), "unknown": UNKNOWN})
    shown = torch.zeros(1, *SHAPE)
    shown[..., FIRST : LAST + 1] = 1
    assert torch.equal(data["known"].as_tensor(), shown)
    assert data["image"][0, 0, 0].unique().tolist() == [-1024, 70]
    assert "unknown" not in data


def test_for_measurements_the_scan_is_kept_as_it_is_without_what_is_not_known():
    data = KnownVoxels(image_key="image", hu_key="hu")({"image": slab(), "unknown": UNKNOWN})
    assert torch.equal(data["hu"].isnan(), data["known"] == 0)
    assert data["hu"][data["known"] > 0].unique().tolist() == [70]


def test_a_slab_keeps_its_intensity_up_to_its_border_and_stays_unknown_elsewhere():
    data = PREPROCESSING({"image": slab(), "unknown": UNKNOWN})
    image, known = (data[key].as_tensor()[0] for key in ("image", "known"))
    assert set(known.unique().tolist()) == {0, 1}
    torch.testing.assert_close(image[known == 1], torch.full((int(known.sum()),), 0.5))
    assert image[known == 0].abs().max() == 0
    z = data["image"].affine[2, 3] + 3.0 * torch.arange(known.shape[-1])
    low, high = 0.9 * (FIRST - 0.5), 0.9 * (LAST + 0.5)
    # Known where at least half of the voxel lies in the slab.
    assert torch.equal(known[4, 4] == 1, (z > low) & (z < high))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), filled=st.floats(-4000, -1500))
def test_the_value_that_stands_for_unknown_does_not_reach_the_network(seed, filled):
    generator = torch.Generator().manual_seed(seed)
    shown = torch.rand(1, *SHAPE, generator=generator) > 0.3
    tissue = 300 * torch.rand(1, *SHAPE, generator=generator) - 80

    def prepared(value: float) -> dict:
        image = MetaTensor(torch.where(shown, tissue, torch.tensor(value)), affine=slab().affine)
        return PREPROCESSING({"image": image, "unknown": float(torch.tensor(value))})

    one, other = prepared(UNKNOWN), prepared(filled)
    assert torch.equal(one["image"], other["image"])
    assert torch.equal(one["known"], other["known"])


def test_between_known_and_unknown_the_mean_of_the_known_is_restored():
    share = torch.tensor([1.0, 0.8, 0.5, 0.49, 0.0])[None, None, None]
    data = FillUnknown(image_key="image")({"image": 0.6 * share, "known": share})
    torch.testing.assert_close(data["image"].flatten(), torch.tensor([0.6, 0.6, 0.6, 0.0, 0.0]))
    assert data["known"].flatten().tolist() == [1, 1, 1, 0, 0]


def test_masks_are_scored_where_the_scan_shows_something_and_the_structure_was_annotated():
    known = torch.ones(1, 2, 2, 2)
    known[..., 0] = 0
    data = {"pred": torch.ones(2, 2, 2, 2), "known": known, "annotated": torch.tensor([1.0, 0.0])}
    masks = OnlySupervisedd(keys="pred")(data)["pred"]
    assert masks[0].sum() == 4 and masks[0, ..., 0].max() == 0
    assert masks[1].isnan().all()


def test_predictions_of_another_device_than_the_labels_are_left_there():
    data = {
        "pred": torch.ones(2, 4, 4, 4, device="meta"),
        "label": torch.ones(2, 4, 4, 4),
        "known": torch.ones(1, 4, 4, 4),
        "annotated": torch.ones(2),
    }
    result = OnlySupervisedd(keys=["pred", "label"])(data)
    assert result["pred"].device.type == "meta" and result["label"].device.type == "cpu"


def test_sites_of_the_contrast_are_taken_where_the_scan_shows_at_least_half_of_them():
    masks = torch.zeros(2, 32, 32, 32)
    masks[:, 8:24, 8:24, 4:28] = 1
    known = torch.ones(1, 32, 32, 32)
    known[..., 13:] = 0
    data = {"label": masks, "known": known}
    sites = ContrastSitesd(keys="label", spacing=(3.0, 3.0, 3.0))(data)["label_sites"][0]
    assert (sites[..., :2] == LESION).any(dim=0).any(dim=0).all()
    assert sites[..., 2:].max() == 0


def crop(organ: bool = True) -> dict[str, torch.Tensor]:
    label = torch.zeros(1, 30, 26, 20)
    if organ:
        label[:, 10:18, 8:14, 6:12] = 1
        label[:, 12:14, 9:11, 7:9] = 2
    known = torch.ones_like(label)
    known[:, :2] = 0
    return {"image": (0.1 + torch.rand_like(label)) * known, "label": label, "known": known}


def hide(data: dict, seed: int = 0, prob: float = 1.0, slabs: float = 0.0) -> dict:
    hiding = RandHideSurroundings("image", "label", prob=prob, margin=4, least_slices=3, slabs=slabs)
    return hiding.set_random_state(seed)(data)


def box_of(known: torch.Tensor) -> tuple[slice, ...]:
    return tuple(slice(int(side.min()), int(side.max()) + 1) for side in known[0].nonzero().T)


@pytest.mark.parametrize("organ", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_what_is_hidden_is_hidden_in_the_image_and_as_known_alike_and_a_box_is_kept(seed, organ):
    data = crop(organ)
    hidden = hide(data, seed)
    known, box = hidden["known"], box_of(hidden["known"])
    assert known[(0, *box)].min() == 1
    assert 0 < known.sum() < data["known"].sum()
    assert torch.equal(hidden["image"], data["image"] * known)
    assert torch.equal(hidden["label"], data["label"])


@pytest.mark.parametrize("seed", range(20))
def test_the_box_shows_the_organ_in_plane_with_its_margin_and_some_of_its_slices(seed):
    x, y, z = box_of(hide(crop(), seed)["known"])
    assert 6 <= x.start <= 10 and 18 <= x.stop <= 22
    assert 4 <= y.start <= 8 and 14 <= y.stop <= 18
    assert z.start < 12 and z.stop > 6


@pytest.mark.parametrize("organ", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_a_slab_keeps_what_the_crop_shows_in_plane(seed, organ):
    data = crop(organ)
    *_, z = box_of(hide(data, seed, slabs=1.0)["known"])
    assert z.stop - z.start < 20 or (organ and z.stop - z.start == 20)
    assert torch.equal(hide(data, seed, slabs=1.0)["known"][..., z], data["known"][..., z])


def test_so_many_of_them_are_slabs_as_asked():
    slabs = [box_of(hide(crop(), seed, slabs=0.5)["known"])[1] == slice(0, 26) for seed in range(200)]
    assert np.mean(slabs) == pytest.approx(0.5, abs=0.1)


def test_the_slices_that_are_kept_are_as_few_as_asked_and_as_many_as_there_are():
    thickness = [z.stop - z.start for *_, z in (box_of(hide(crop(), seed)["known"]) for seed in range(200))]
    assert min(thickness) <= 3
    assert max(thickness) >= 16


def test_a_crop_without_the_organ_keeps_half_of_its_sides():
    for seed in range(10):
        x, y, z = box_of(hide(crop(organ=False), seed)["known"])
        # Two slices of the crop were not known before.
        assert 13 <= x.stop - x.start <= 15
        assert (y.stop - y.start, z.stop - z.start) == (13, 10)


@pytest.mark.parametrize(("prob", "share"), [(0.0, 0.0), (0.3, 0.3), (1.0, 1.0)])
def test_so_many_crops_are_hidden_as_asked(prob, share):
    data = crop()
    hidden = [not torch.equal(hide(data, seed, prob)["known"], data["known"]) for seed in range(200)]
    assert np.mean(hidden) == pytest.approx(share, abs=0.1 if 0 < prob < 1 else 0)
