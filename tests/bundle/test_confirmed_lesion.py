"""The extent of a lesion is the distance's, its presence the classification's."""

from __future__ import annotations

import pytest
import torch

from dualtask.maps import MAPS
from dualtask.transforms import ConfirmedLesion, LabelMapd, SplitMapsd

RULE = ConfirmedLesion(step_width=1.5, threshold=0.5, peak=0.9)


def scan() -> torch.Tensor:
    """Maps [6, 20, 6, 6] of an organ in which no task sees anything."""
    maps = torch.zeros(6, 20, 6, 6)
    maps[MAPS["probability"]][0] = 0.99
    maps[MAPS["probability"]][1] = 0.01
    maps[MAPS["distance"]] = 4.0
    return maps


def lesion(maps: torch.Tensor, start: int, probability: float) -> torch.Tensor:
    """With a lesion of 27 voxels by the distance, in one of which the probability is this."""
    maps[MAPS["distance"]][1, start : start + 3, 1:4, 1:4] = -2.0
    maps[MAPS["probability"]][1, start + 1, 2, 2] = probability
    return maps


def voxels(maps: torch.Tensor) -> int:
    return int((LabelMapd("pred")(SplitMapsd("pred", lesion=RULE)({"pred": maps}))["pred"] == 2).sum())


def test_a_lesion_reaches_as_far_as_its_distance_says_where_one_voxel_is_sure():
    assert voxels(lesion(scan(), 2, 0.95)) == 27


@pytest.mark.parametrize(("margin", "expected"), [(0.0, 27), (1.9, 27), (2.1, 0)])
def test_a_lesion_ends_a_margin_inside_of_its_distance(margin, expected):
    maps = lesion(scan(), 2, 0.95)
    maps[MAPS["probability"]][1] = maps[MAPS["probability"]][1].clamp(max=0.95 if expected else 0.4)
    rule = ConfirmedLesion(step_width=1.5, threshold=0.5, peak=0.3, margin=margin)
    assert int((rule(maps) > 0.5).sum()) == expected


def test_a_lesion_of_which_the_classification_is_not_sure_is_none():
    assert voxels(lesion(scan(), 2, 0.85)) == 0
    assert voxels(lesion(lesion(scan(), 2, 0.95), 10, 0.85)) == 27


@pytest.mark.parametrize(("probability", "expected"), [(0.95, 27), (0.85, 0)])
def test_a_lesion_that_no_distance_sees_has_the_extent_of_the_classification_where_that_is_sure(probability, expected):
    maps = scan()
    maps[MAPS["probability"]][1, 2:5, 1:4, 1:4] = 0.8
    maps[MAPS["probability"]][1, 3, 2, 2] = probability
    assert voxels(maps) == expected
    assert voxels(lesion(maps, 10, 0.95)) == expected + 27


def test_where_a_distance_sees_part_of_it_the_extent_is_the_distances():
    maps = lesion(scan(), 2, 0.95)
    maps[MAPS["probability"]][1, 2:8, 1:4, 1:4] = 0.95
    assert voxels(maps) == 27


def test_a_lesion_of_the_classification_reaches_as_far_on_a_finer_grid_as_with_its_own_extent():
    maps = scan()
    maps[MAPS["probability"]][1, 2:5, 1:4, 1:4] = 0.95
    finer = [
        torch.nn.functional.interpolate(mask[None], scale_factor=2, mode="trilinear") > 0.5
        for mask in (RULE(maps), maps[MAPS["probability"]][1:])
    ]
    assert torch.equal(*finer)


def test_a_lesion_lies_in_the_organ():
    maps = lesion(scan(), 2, 0.95)
    maps[MAPS["probability"]][0, 2] = 0.2
    assert voxels(maps) == 18


def test_what_is_refused_stays_refused_on_a_finer_grid_and_the_rest_keeps_how_it_falls_off():
    mask = RULE(lesion(lesion(scan(), 2, 0.95), 10, 0.85))
    finer = torch.nn.functional.interpolate(mask[None], scale_factor=2, mode="trilinear")[0]
    assert (finer[:, 19:28] < 0.5).all() and (finer[:, 4:10] > 0.5).any()
    torch.testing.assert_close(mask[0, 0, 0, 0], torch.sigmoid(torch.tensor(-4.0 / 1.5)))


def test_where_no_lesion_is_heard_of_there_is_none_so_that_the_scan_outside_the_region_costs_nothing():
    maps = scan()
    maps[MAPS["probability"]][1, 10:] = 0
    assert (RULE(maps)[0, 10:] == 0).all() and (RULE(maps)[0, :10] > 0).all()


def test_without_a_rule_the_masks_are_the_probabilities():
    maps = torch.rand(6, 3, 3, 3)
    assert torch.equal(SplitMapsd("pred")({"pred": maps})["pred"], maps[MAPS["probability"]])
