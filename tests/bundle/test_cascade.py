"""The cascade: a region around the organ, no dependence on what lies far away, a fall-back when nothing is found."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dualtask.inferers import CascadeInferer
from dualtask.inferers.region import largest_component, region_of_interest
from dualtask.networks.dual_task_net import memberships
from dualtask.transforms.downsample import Downsampled, downsample_image

REGION = (16, 16, 8)


class Threshold(nn.Module):
    """Stands for a trained network: organ above 0.5, lesion above 0.8. Records the sizes that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[torch.Size] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.sizes.append(image.shape[2:])
        return memberships(torch.cat([image > 0.5, image > 0.8], dim=1).float())


def scan() -> torch.Tensor:
    image = torch.zeros(1, 1, 41, 36, 22)
    image[..., 8:22, 10:20, 6:14] = 0.6
    image[..., 12:16, 12:16, 8:10] = 0.9
    return image


def cascade(**options) -> CascadeInferer:
    return CascadeInferer(Threshold(), factor=2, region_size=REGION, margin=(2, 2, 2), **options)


def test_the_result_equals_the_network_on_the_whole_scan_when_the_organ_lies_in_the_region():
    network = Threshold()
    result = cascade()(scan(), network)
    assert torch.equal(result.argmax(1), Threshold()(scan()).argmax(1))
    assert all(np.prod(size) < scan().numel() / 3 for size in network.sizes)


def test_outside_the_region_everything_is_background():
    image = scan()
    image[..., 36:40, 30:34, 18:21] = 0.9
    result = cascade()(image, Threshold())
    assert result[0, :, 38, 32, 19].tolist() == [1, 0, 0]


def test_without_an_organ_it_slides_over_the_whole_scan_and_warns(caplog):
    with caplog.at_level(logging.WARNING):
        result = cascade()(torch.zeros(1, 1, 20, 20, 10), Threshold())
    assert result.argmax(1).max() == 0
    assert "found no pancreas" in caplog.text


def test_the_rounds_end_when_two_agree():
    network = Threshold()
    cascade()(scan(), network)
    assert len(network.sizes) == 1


def test_the_rounds_are_bounded():
    class Growing(Threshold):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            self.sizes.append(image.shape[2:])
            organ = torch.zeros_like(image)
            organ[..., :1, :1, :1] = 1
            return memberships(torch.cat([organ, organ], dim=1))

    network = Growing()
    cascade(max_rounds=3)(scan(), network)
    assert len(network.sizes) <= 3


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
