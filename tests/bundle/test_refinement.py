"""Correction of a label map by what a person says of single voxels."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from dualtask.errors import InputError
from dualtask.refinement import Hints, ScanMaps, Settings, check_points, hints_of, refine_label_map
from dualtask.refinement.graph_cut import graph_cut

SHAPE, SPACING = (72, 60, 40), (1.0, 1.0, 2.5)
ORGAN, LESION = np.s_[16:40, 20:36, 10:26], np.s_[24:32, 24:32, 14:20]
MISSED = np.s_[40:52, 20:36, 13:23]
"""A part of the organ as grey as the rest of it that the network does not see."""


@pytest.fixture(autouse=True, scope="module")
def solver():
    pytest.importorskip("numpymaxflow", reason="numpymaxflow is not installed: corrections are left out")


@pytest.fixture
def maps() -> ScanMaps:
    image = np.full(SHAPE, -60, np.int16)
    image[ORGAN], image[MISSED], image[LESION] = 90, 90, 40
    label = np.zeros(SHAPE, np.uint8)
    label[ORGAN], label[LESION] = 1, 2
    probability = np.stack([label >= 1, label == 2]).astype(np.float16) * 0.8 + 0.1
    distance = np.stack([np.where(each > 0.5, -5, 5) for each in probability]).astype(np.float16)
    return ScanMaps(image, np.diag((*SPACING, 1.0)), label, (0, 0, 0), probability, distance)


def clicked(**points: list[tuple[int, int, int]]) -> dict[str, Hints]:
    return hints_of({name: check_points(each, SHAPE, name) for name, each in points.items()})


def test_missed_part_of_the_organ_comes_with_a_click_up_to_the_edges_of_the_image(maps):
    corrected = refine_label_map(maps, maps.label, clicked(pancreas=[(46, 28, 18)]))
    assert (corrected[MISSED] == 1).mean() > 0.9
    beyond = (maps.image == -60) & (corrected > 0)
    assert beyond.sum() < 0.02 * (corrected > 0).sum()


def test_part_that_is_none_goes_with_a_click(maps):
    label = maps.label.copy()
    label[56:66, 20:36, 10:26] = 1
    corrected = refine_label_map(maps, label, clicked(background=[(61, 28, 18)]))
    assert (corrected[56:66, 20:36, 10:26] == 0).mean() > 0.9
    np.testing.assert_array_equal(corrected[ORGAN], maps.label[ORGAN])


def test_every_click_is_obeyed_even_those_that_the_image_speaks_against(maps):
    points = {
        "lesion": [(5, 5, 5), (45, 28, 18)],
        "pancreas": [(28, 28, 16), (70, 58, 38)],
        "background": [(20, 24, 12)],
    }
    corrected = refine_label_map(maps, maps.label, clicked(**points))
    for value, name in enumerate(("background", "pancreas", "lesion")):
        assert [corrected[point] for point in points[name]] == [value] * len(points[name])


def test_neighbouring_voxels_of_one_block_may_differ(maps):
    corrected = refine_label_map(maps, maps.label, clicked(pancreas=[(46, 28, 18)], background=[(47, 28, 18)]))
    assert (corrected[46, 28, 18], corrected[47, 28, 18]) == (1, 0)


def test_voxels_far_from_all_clicks_stay_as_they_are(maps):
    settings = Settings(reach_mm=10.0)
    corrected = refine_label_map(maps, maps.label, clicked(pancreas=[(46, 28, 18)]), settings)
    clicks = np.ones(SHAPE, bool)
    clicks[46, 28, 18] = False
    far = ndimage.distance_transform_edt(clicks, sampling=SPACING) > settings.reach_mm + 2 * max(SPACING)
    assert (corrected != maps.label).any()
    np.testing.assert_array_equal(corrected[far], maps.label[far])


def test_click_that_says_what_is_seen_anyway_changes_nothing(maps):
    hints = clicked(pancreas=[(18, 22, 12)], lesion=[(28, 28, 16)], background=[(2, 2, 2)])
    np.testing.assert_array_equal(refine_label_map(maps, maps.label, hints), maps.label)


def test_lesion_that_grows_out_of_the_organ_takes_the_organ_along(maps):
    corrected = refine_label_map(maps, maps.label, clicked(lesion=[(46, 28, 18)]))
    assert corrected[46, 28, 18] == 2
    lesion = corrected == 2
    assert (corrected[ndimage.binary_erosion(lesion)] == 2).all()
    assert lesion.sum() > 50


def test_lesion_goes_with_the_organ_around_it(maps):
    label = maps.label.copy()
    label[60:68, 24:32, 14:20] = 2  # somewhere else, all lesion
    corrected = refine_label_map(maps, label, clicked(background=[(64, 28, 17)]))
    assert (corrected[60:68, 24:32, 14:20] == 0).mean() > 0.9
    np.testing.assert_array_equal(corrected[LESION], maps.label[LESION])


def test_not_lesion_leaves_the_organ(maps):
    hints = hints_of({}, {"lesion": np.array([(28, 28, 16)])})
    corrected = refine_label_map(maps, maps.label, hints)
    assert corrected[28, 28, 16] == 1
    np.testing.assert_array_equal(corrected >= 1, maps.label >= 1)


def test_what_a_person_has_painted_is_not_taken_back_beside_a_click(maps):
    painted = maps.label.copy()
    painted[40:46, 20:36, 10:26] = 1
    corrected = refine_label_map(maps, painted, clicked(background=[(62, 28, 18)], pancreas=[(14, 28, 18)]))
    assert (corrected[40:46, 20:36, 10:26] == 1).mean() > 0.9


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([[1, 2]], "are not voxels: give a list of \\[i, j, k\\]"),
        ([1, 2, 3], "are not voxels"),
        ([["a", 2, 3]], "are not voxels"),
        ([[1, 2, float("nan")]], "are not voxels"),
        ([[1, 2, 3], [1, 2]], "are not voxels"),
        ("here", "are not voxels"),
        ({"x": 1}, "are not voxels"),
        ([[1, 2, 40]], "lies outside the scan of 72 x 60 x 40 voxels"),
        ([[-1, 2, 3]], "lies outside the scan"),
    ],
)
def test_points_that_cannot_be_used_are_refused_in_a_sentence(points, words: str):
    with pytest.raises(InputError, match=words):
        check_points(points, SHAPE, "pancreas")


def test_points_between_voxels_count_for_the_nearest():
    assert check_points([[1.4, 2.6, 3]], SHAPE, "lesion").tolist() == [[1, 3, 3]]
    assert check_points([], SHAPE, "lesion").shape == (0, 3)


@pytest.mark.parametrize("other", ["pancreas", "background"])
def test_one_voxel_cannot_be_two_things(other: str):
    with pytest.raises(InputError, match=r"The voxel \[1, 2, 3\] is marked as .* and as something else: remove one"):
        clicked(**{"lesion": [(1, 2, 3)], other: [(1, 2, 3)]})


def test_maps_lie_where_their_box_lies():
    affine = np.diag((1.0, 2.0, 3.0, 1.0))
    scan = MetaTensor(torch.zeros(1, 8, 8, 8), affine=affine)
    box = affine.copy()
    box[:3, 3] = affine[:3, :3] @ (2, 3, 4)
    data = {
        "pred": torch.zeros(1, 8, 8, 8, dtype=torch.uint8),
        "probability": MetaTensor(torch.ones(2, 2, 2, 2), affine=box),
        "distance": MetaTensor(torch.full((2, 2, 2, 2), 3.0), affine=box),
    }
    maps = ScanMaps.of(scan, data)
    probability, _ = maps.maps_in((slice(0, 8),) * 3, 0)
    assert probability[2:4, 3:5, 4:6].all()
    assert probability.sum() == 8
    assert not maps.maps_in((slice(5, 8), slice(0, 8), slice(0, 8)), 0)[0].any()


def test_boundary_lies_on_the_edge_rather_than_in_the_middle():
    image = np.zeros((20, 5, 5), np.float32)
    image[:7] = 1
    inside, outside = np.full(image.shape, 0.7), np.full(image.shape, 0.7)
    inside[0], outside[0], inside[-1], outside[-1] = 0, 15, 15, 0
    cut = graph_cut(inside, outside, image, weight=1.0, contrast=0.1)
    np.testing.assert_array_equal(cut, image > 0.5)


def test_without_the_solver_there_is_a_sentence(maps, monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def missing(name: str, *rest, **more):
        if name == "numpymaxflow":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match="needs numpymaxflow: install it with `pip install numpymaxflow`"):
        refine_label_map(maps, maps.label, clicked(pancreas=[(46, 28, 18)]))
