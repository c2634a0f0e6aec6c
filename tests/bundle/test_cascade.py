"""The cascade: a region around the organ, no dependence on what lies far away, a fall-back when nothing is found."""

from __future__ import annotations

import logging
import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dualtask.distances.heaviside import per_structure
from dualtask.inferers import CascadeInferer
from dualtask.inferers.heads import head_outputs
from dualtask.inferers.region import largest_component, region_of_interest
from dualtask.maps import MAPS, fuse_heads, scan_uncertainty
from dualtask.networks.heads import Heads
from dualtask.transforms import Downsampled, LabelMapd, SplitMapsd
from dualtask.transforms.downsample import downsample_image

REGION = (16, 16, 8)
TRUNCATION = (15.0, 7.5)


class Threshold(nn.Module):
    """Stands for a trained network: organ above 0.5, lesion above 0.8. Records the sizes that it was asked for."""

    sharpness = per_structure((20.0, 15.0))
    regression_share = per_structure((0.5, 0.5))

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[torch.Size] = []

    def heads(self, image: torch.Tensor) -> Heads:
        self.sizes.append(image.shape[2:])
        return self.answer(torch.cat([image > 0.5, image > 0.8], dim=1).float())

    @staticmethod
    def answer(masks: torch.Tensor) -> Heads:
        return Heads(40 * (masks - 0.5), 1 - 2 * masks, masks.new_zeros(1, 32, 1, 1, 1))


def scan() -> torch.Tensor:
    image = torch.zeros(1, 1, 41, 36, 22)
    image[..., 8:22, 10:20, 6:14] = 0.6
    image[..., 12:16, 12:16, 8:10] = 0.9
    return image


def cascade(**options) -> CascadeInferer:
    options = {"localiser_size": (8, 8, 8), "region_size": REGION, "truncation": TRUNCATION, **options}
    return CascadeInferer(Threshold(), factor=2, margin=(2, 2, 2), **options)


def test_the_maps_equal_the_network_on_the_whole_scan_when_the_organ_lies_in_the_region():
    network = Threshold()
    result = cascade()(scan(), network)
    masks = torch.cat([scan() > 0.5, scan() > 0.8], dim=1).float()
    torch.testing.assert_close(result[:, MAPS["probability"]], masks, atol=1e-5, rtol=0)
    torch.testing.assert_close(result[:, MAPS["distance"]], per_structure(TRUNCATION) * (1 - 2 * masks))
    assert result[:, MAPS["uncertainty"]].max() < 1e-5
    assert all(np.prod(size) < scan().numel() / 3 for size in network.sizes)


@pytest.mark.parametrize("shape", [(41, 36, 2), (9, 7, 22), (5, 4, 3)])
def test_both_networks_see_a_small_scan_as_training_crops_show_it_with_nothing_known_around(shape):
    network, inferer = Threshold(), cascade()
    image = scan()[(..., *(slice(12, 12 + side) for side in shape[:2]), slice(8, 8 + shape[2]))]
    assert image.shape[2:] != shape or (image > 0.8).any()
    result = inferer(image, network)
    assert result.shape == (1, 6, *image.shape[2:])
    assert torch.equal(result[:, MAPS["probability"]].round(), torch.cat([image > 0.5, image > 0.8], dim=1).float())
    for size, least in zip(network.sizes[0], REGION, strict=True):
        assert size >= least
    for size in inferer.localiser.sizes[0]:
        assert size >= 8


def test_outside_the_region_everything_is_background():
    image = scan()
    image[..., 36:40, 30:34, 18:21] = 0.9
    result = cascade()(image, Threshold())
    assert result[0, :, 38, 32, 19].tolist() == [0, 0, *TRUNCATION, 0, 0]


def test_without_an_organ_it_slides_over_the_whole_scan_and_warns(caplog):
    with caplog.at_level(logging.WARNING):
        result = cascade()(torch.zeros(1, 1, 20, 20, 10), Threshold())
    assert result[:, MAPS["probability"]].max() < 0.5
    assert "found no pancreas" in caplog.text


def test_the_rounds_end_when_two_agree():
    network = Threshold()
    cascade()(scan(), network)
    assert len(network.sizes) == 1


def test_the_rounds_are_bounded():
    class Growing(Threshold):
        def heads(self, image: torch.Tensor) -> Heads:
            self.sizes.append(image.shape[2:])
            organ = torch.zeros_like(image)
            organ[..., :1, :1, :1] = 1
            return self.answer(torch.cat([organ, organ], dim=1))

    network = Growing()
    cascade(max_rounds=3)(scan(), network)
    assert len(network.sizes) <= 3


def test_where_the_two_heads_disagree_the_uncertainty_is_their_difference_and_the_fusion_as_asked():
    class Undecided(Threshold):
        def heads(self, image: torch.Tensor) -> Heads:
            heads = super().heads(image)
            return heads._replace(distance=torch.where(image.repeat(1, 2, 1, 1, 1) > 0.8, 0.0, heads.distance))

    lesion = (0, slice(None), 13, 13, 9)
    for fusion, probability in {None: 1 / (1 + math.exp(-20 / 2)), "classification": 1.0, "regression": 0.5}.items():
        maps = cascade(fusion=fusion)(scan(), Undecided())[lesion]
        torch.testing.assert_close(maps[MAPS["probability"]], torch.full((2,), probability), atol=1e-5, rtol=0)
        torch.testing.assert_close(maps[MAPS["uncertainty"]], torch.full((2,), 0.5), atol=1e-5, rtol=0)


def test_averaging_over_all_flips_makes_the_answer_equivariant_to_flips():
    class LeftHanded(Threshold):
        def heads(self, image: torch.Tensor) -> Heads:
            return super().heads(image + torch.linspace(-0.2, 0.2, image.shape[2])[:, None, None])

    network, image = LeftHanded(), scan()[..., 8:24, 8:24, 6:14]
    all_flips = [axes for count in (1, 2, 3) for axes in combinations(range(3), count)]
    for axes in all_flips:
        spatial = [axis + 2 for axis in axes]
        mirrored = head_outputs(image.flip(spatial), network, all_flips).flip(spatial)
        torch.testing.assert_close(mirrored, head_outputs(image, network, all_flips), atol=1e-6, rtol=0)
    assert not torch.allclose(head_outputs(image, network), head_outputs(image.flip(2), network).flip(2))


def lesion_uncertainty(logits: float, distance: float) -> float:
    """Uncertainty of a scan in whose organ the heads say this of a lesion of eight voxels."""
    outputs = torch.tensor([20.0, -20.0, -1.0, 1.0])[:, None, None, None].repeat(1, 6, 6, 6)
    outputs[1, 2:4, 2:4, 2:4], outputs[3, 2:4, 2:4, 2:4] = logits, distance
    maps = fuse_heads(outputs[None], per_structure((10.0, 5.0)), per_structure(TRUNCATION), per_structure((0.5, 0.5)))
    return scan_uncertainty(maps[0])["lesion"]


@pytest.mark.parametrize(("logits", "distance"), [(20.0, 1.0), (3.0, 1.0), (-20.0, -1.0), (-4.0, -1.0)])
def test_a_scan_whose_lesion_one_head_alone_sees_is_uncertain_however_sure_the_head_is(logits, distance):
    assert lesion_uncertainty(logits, distance) > 0.9


@pytest.mark.parametrize(("logits", "distance"), [(20.0, -1.0), (5.0, -1.0), (3.0, -0.6)])
def test_a_scan_whose_lesion_both_heads_see_is_certain(logits, distance):
    assert lesion_uncertainty(logits, distance) < 0.1


def test_a_scan_whose_lesion_no_head_sees_is_certain():
    assert lesion_uncertainty(-20.0, 1.0) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(("logits", "distance", "doubtful"), [(0.2, -0.04, 0.9), (-0.4, 0.08, 0.8), (1.4, -0.28, 0.3)])
def test_a_scan_whose_lesion_both_heads_nearly_see_or_are_not_sure_of_is_uncertain(logits, distance, doubtful):
    """Both say the same, so they do not disagree; but such a lesion is missed, or taken back by rules of lesions."""
    assert lesion_uncertainty(logits, distance) > doubtful


def test_the_uncertainty_of_a_scan_is_what_one_task_alone_sees_in_all_that_either_sees():
    maps = torch.zeros(6, 4, 4, 4)
    # Seen by both, 0.9 each; in one voxel surely. And seen by one alone. The rest of the scan is out of the question.
    maps[0, 0, 0], maps[0, 0, 0, 0] = 0.9, 1.0
    maps[0, 1, 0, 0], maps[4, 1, 0, 0] = 0.5, 1.0
    maps[4, 3] = 0.01
    assert scan_uncertainty(maps)["pancreas"] == pytest.approx(1 / (3 * 1.8 + 2 + 1))


def test_a_scan_without_pancreas_is_uncertain_and_one_without_lesion_is_not():
    assert scan_uncertainty(torch.zeros(6, 4, 4, 4)) == {"pancreas": 1.0, "lesion": 0.0}


def test_the_maps_are_split_as_asked_and_make_a_label_map_with_lesions_inside_the_organ():
    maps = torch.zeros(6, 2, 2, 2)
    maps[:2, 0, 0, 0] = torch.tensor([0.9, 0.8])
    maps[:2, 0, 0, 1] = torch.tensor([0.9, 0.1])
    maps[:2, 0, 1, 0] = torch.tensor([0.1, 0.8])
    maps[2:4], maps[4:] = -3.0, 0.2
    data = SplitMapsd(keys="pred", maps=["distance"])({"pred": maps})
    assert data["distance"].unique().tolist() == [-3.0]
    assert "uncertainty" not in data
    label = LabelMapd(keys="pred")(data)["pred"]
    assert label.dtype == torch.uint8
    assert [label[0, 0, y, z].item() for y, z in ((0, 0), (0, 1), (1, 0), (1, 1))] == [2, 1, 0, 0]
    assert LabelMapd(keys="pred", threshold=0.85)(data)["pred"].max() == 1


def test_a_lesion_is_believed_as_a_whole_where_one_of_its_voxels_is_likely_and_not_at_all_elsewhere():
    maps = torch.zeros(2, 12, 4, 4)
    maps[0] = 0.9
    maps[1, 1:4, 1:3, 1:3], maps[1, 2, 1, 1] = 0.6, 0.95
    maps[1, 6:11, 1:3, 1:3] = 0.89
    label = LabelMapd("pred", 0.5, lesion_peak=0.9)({"pred": maps})["pred"]
    assert (label[0, :5] == 2).sum() == 12
    assert (label[0, 5:] == 1).all()
    assert (LabelMapd("pred", 0.5)({"pred": maps})["pred"] == 2).sum() == 32


def test_a_threshold_above_the_peak_of_lesions_holds():
    maps = torch.full((2, 3, 3, 3), 0.92)
    assert (LabelMapd("pred", 0.95, lesion_peak=0.9)({"pred": maps})["pred"] == 0).all()
    assert (LabelMapd("pred", 0.91, lesion_peak=0.9)({"pred": maps})["pred"] == 2).all()


def test_a_batch_of_scans_is_refused():
    with pytest.raises(ValueError, match="one scan at a time"):
        cascade()(torch.cat([scan(), scan()]), Threshold())


class Blindfold(Threshold):
    """Sees nothing in the first half of the first axis."""

    def heads(self, image: torch.Tensor) -> Heads:
        seen = image.clone()
        seen[:, :, : image.shape[2] // 2] = 0
        return super().heads(seen)


def test_of_two_candidates_the_one_that_both_stages_see_is_kept():
    image = torch.zeros(1, 1, 48, 36, 22)
    image[..., 28:34, 10:18, 6:14] = 0.6
    image[..., 12:24, 8:22, 4:16] = 0.6  # larger, and the localiser does not take it for the organ
    image[..., 16:20, 12:16, 8:12] = 0.9
    inferer = CascadeInferer(
        Blindfold(), 2, localiser_size=(8, 8, 8), region_size=(40, 24, 20), truncation=TRUNCATION, margin=(2, 2, 2)
    )
    maps = inferer(image, Threshold())
    label = LabelMapd("pred")(SplitMapsd("pred")({"pred": maps[0]}))["pred"][0]
    assert (label[28:34, 10:18, 6:14] == 1).all()
    assert label.count_nonzero() == 6 * 8 * 8
    assert (maps[0, MAPS["distance"], 12:24, 8:22, 4:16] >= 0).all()


def test_the_largest_component_is_kept():
    mask = np.zeros((9, 9, 9), bool)
    mask[:2, :2, :2] = mask[4:8, 4:8, 4:8] = True
    assert largest_component(mask).sum() == 64


boxes = st.tuples(*(st.tuples(st.integers(0, 29), st.integers(0, 29)).map(sorted) for _ in range(3)))


@given(box=boxes, margin=st.integers(0, 6))
def test_a_region_holds_the_mask_lies_in_the_scan_and_has_the_minimum_size(box, margin):
    mask = np.zeros((30, 30, 30), bool)
    mask[tuple(slice(low, high + 1) for low, high in box)] = True
    region = region_of_interest(mask, REGION, (margin,) * 3)
    assert mask[region].sum() == mask.sum()
    for side, least, (low, high) in zip(region, REGION, box, strict=True):
        assert 0 <= side.start < side.stop <= 30
        assert side.stop - side.start == min(max(least, high - low + 1 + 2 * margin), 30)


def test_downsampling_takes_block_means_and_the_most_frequent_label():
    image, label = torch.rand(1, 4, 4, 4), torch.zeros(1, 4, 4, 4)
    label[0, :2, :2, :2] = 1
    label[0, 0, :2, :2] = 2
    label[0, 1, 0, 0] = 2
    known = torch.ones_like(image)
    known[0, 2, 2, 2] = 0
    data = {"image": image, "label": label, "known": known}
    result = Downsampled(keys="image", label_keys=["label"], factor=2)(data)
    assert result["image"][0, 0, 0, 0] == pytest.approx(image[0, :2, :2, :2].mean().item())
    assert result["label"][0, 0, 0, 0] == 2
    assert result["label"].sum() == 2
    # A block of which one voxel is not known is not known.
    assert result["known"].sum() == 7 and result["known"][0, 1, 1, 1] == 0


def test_downsampling_keeps_what_is_not_known_of_a_label_map_apart_from_its_background():
    organs = torch.full((1, 4, 2, 2), -1.0)
    organs[0, 2:] = 7
    data = {"image": torch.rand(1, 4, 2, 2), "organs": organs, "known": torch.ones_like(organs)}
    result = Downsampled(keys="image", label_keys=["organs"], factor=2)(data)
    assert result["organs"].ravel().tolist() == [-1, 7]


def test_odd_sides_are_completed_by_the_edge():
    image = torch.ones(1, 1, 5, 4, 3)
    assert torch.equal(downsample_image(image, 2), torch.ones(1, 1, 3, 2, 2))
