"""The cascade: a region around the organ, no dependence on what lies far away, a fall-back when nothing is found."""

from __future__ import annotations

import logging
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dualtask.inferers import CascadeInferer
from dualtask.inferers.heads import head_outputs
from dualtask.inferers.region import largest_component, region_of_interest
from dualtask.maps import MAPS, scan_uncertainty
from dualtask.networks.heads import Heads
from dualtask.transforms import Downsampled, LabelMapd, SplitMapsd
from dualtask.transforms.downsample import downsample_image

REGION = (16, 16, 8)
TRUNCATION = 15.0


class Threshold(nn.Module):
    """Stands for a trained network: organ above 0.5, lesion above 0.8. Records the sizes that it was asked for."""

    sharpness = 15.0
    regression_share = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[torch.Size] = []

    def heads(self, image: torch.Tensor) -> Heads:
        self.sizes.append(image.shape[2:])
        return self.answer(torch.cat([image > 0.5, image > 0.8], dim=1).float())

    @staticmethod
    def answer(masks: torch.Tensor) -> Heads:
        return Heads(40 * (masks - 0.5), 1 - 2 * masks, masks.new_zeros(1), masks.new_zeros(1))


def scan() -> torch.Tensor:
    image = torch.zeros(1, 1, 41, 36, 22)
    image[..., 8:22, 10:20, 6:14] = 0.6
    image[..., 12:16, 12:16, 8:10] = 0.9
    return image


def cascade(**options) -> CascadeInferer:
    return CascadeInferer(Threshold(), factor=2, region_size=REGION, truncation=TRUNCATION, margin=(2, 2, 2), **options)


def test_the_maps_equal_the_network_on_the_whole_scan_when_the_organ_lies_in_the_region():
    network = Threshold()
    result = cascade()(scan(), network)
    masks = torch.cat([scan() > 0.5, scan() > 0.8], dim=1).float()
    torch.testing.assert_close(result[:, MAPS["probability"]], masks, atol=1e-5, rtol=0)
    torch.testing.assert_close(result[:, MAPS["distance"]], TRUNCATION * (1 - 2 * masks))
    assert result[:, MAPS["uncertainty"]].max() < 1e-5
    assert all(np.prod(size) < scan().numel() / 3 for size in network.sizes)


def test_outside_the_region_everything_is_background():
    image = scan()
    image[..., 36:40, 30:34, 18:21] = 0.9
    result = cascade()(image, Threshold())
    assert result[0, :, 38, 32, 19].tolist() == [0, 0, TRUNCATION, TRUNCATION, 0, 0]


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
    for fusion, probability in {None: 0.75, "classification": 1.0, "regression": 0.5}.items():
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


def test_the_uncertainty_of_a_scan_is_the_mean_over_the_voxels_in_question():
    maps = torch.zeros(6, 4, 4, 4)
    maps[0, 0, 0], maps[4, 0, 0, :2] = 0.9, 0.4
    maps[0, 1, 0, 0], maps[4, 1, 0, 0] = 0.4, 0.8
    assert scan_uncertainty(maps)["pancreas"] == pytest.approx((2 * 0.4 + 0.8) / 5)


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


def test_a_batch_of_scans_is_refused():
    with pytest.raises(ValueError, match="one scan at a time"):
        cascade()(torch.cat([scan(), scan()]), Threshold())


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
    result = Downsampled(keys="image", label_key="label", factor=2)({"image": image, "label": label})
    assert result["image"][0, 0, 0, 0] == pytest.approx(image[0, :2, :2, :2].mean().item())
    assert result["label"][0, 0, 0, 0] == 2
    assert result["label"].sum() == 2


def test_odd_sides_are_completed_by_the_edge():
    image = torch.ones(1, 1, 5, 4, 3)
    assert torch.equal(downsample_image(image, 2), torch.ones(1, 1, 3, 2, 2))
