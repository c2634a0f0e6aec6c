"""Volumes, diameters, densities and positions, on shapes and phantoms whose truth is known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from test_cascade import REGION, Threshold

from dualtask.measurements import measure_scan, numbered_lesions
from dualtask.measurements.centre_line import SHORTEST_MM, find_centre_line
from dualtask.measurements.diameters import axial_diameters, longest_diameter
from dualtask.notice import NOTICE
from handmade_scan import LARGE_HU, SMALL_HU, write_dicom, write_nifti

SPACING = (0.8, 0.8, 1.5)
AFFINE = np.diag([*SPACING, 1.0])


def grid(shape: tuple[int, int, int], affine: np.ndarray = AFFINE) -> np.ndarray:
    """Places of all voxels in mm, [3, X, Y, Z]."""
    return np.einsum("ij,jxyz->ixyz", affine[:3, :3], np.indices(shape)) + affine[:3, 3].reshape(3, 1, 1, 1)


def ellipsoid(shape: tuple[int, int, int], centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    apart = (grid(shape) - np.reshape(centre, (3, 1, 1, 1))) / np.reshape(radii, (3, 1, 1, 1))
    return (apart**2).sum(axis=0) <= 1


def rotation(degrees: float) -> np.ndarray:
    """Affine of a turn about the patient's long axis."""
    turn = np.eye(4)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    return turn


@pytest.mark.parametrize("degrees", [0, 30, 45])
def test_diameters_of_an_ellipsoid(degrees):
    mask = ellipsoid((60, 60, 60), (24, 24, 45), (20, 10, 35))
    longest, perpendicular = axial_diameters(mask, rotation(degrees) @ AFFINE)
    assert longest == pytest.approx(40, abs=1.0)
    assert perpendicular == pytest.approx(20, abs=1.0)
    assert longest_diameter(mask, rotation(degrees) @ AFFINE) == pytest.approx(70, abs=1.5)


def test_perpendicular_is_the_longest_chord_across_the_diameter_and_not_the_width_of_the_shape():
    triangle = np.zeros((101, 51, 1), bool)  # base 100 mm along x, its tip 40 mm above one quarter of it
    for row in range(41):
        triangle[round(25 * row / 40) : round(100 - 75 * row / 40) + 1, row] = True
    longest, perpendicular = axial_diameters(triangle, np.eye(4))
    assert longest == pytest.approx(101, abs=1)
    assert perpendicular == pytest.approx(40, abs=1.5)


def test_longest_diameter_of_a_slice_need_not_lie_in_the_largest_slice():
    mask = np.zeros((60, 60, 2), bool)
    mask[10:40, 10:40, 0] = True  # 42 mm across
    mask[0:60, 20:23, 1] = True
    assert axial_diameters(mask, np.eye(4))[0] == pytest.approx(60, abs=0.5)


def test_axial_slices_are_those_of_the_patient_whatever_the_order_of_the_axes():
    mask = ellipsoid((60, 60, 60), (24, 24, 45), (20, 10, 35))
    image = nib.Nifti1Image(mask.astype(np.uint8), AFFINE)
    target = nib.orientations.axcodes2ornt("SPL")
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(AFFINE), target))
    assert axial_diameters(np.asarray(turned.dataobj) > 0, turned.affine) == pytest.approx(
        axial_diameters(mask, AFFINE)
    )


@pytest.mark.parametrize("voxels", [1, 2])
def test_a_lesion_of_single_voxels_has_their_size(voxels):
    label = np.zeros((5, 5, 5), np.uint8)
    label[1 : 1 + voxels, 2, 2] = 2
    (lesion,) = measure_scan(label, np.full(label.shape, 40.0), AFFINE).lesions
    assert lesion.volume_ml == pytest.approx(voxels * np.prod(SPACING) / 1000)
    assert lesion.axial_diameter_mm == pytest.approx(0.8 * voxels)
    assert (lesion.mean_hu, lesion.sd_hu) == (40, 0)


def test_volumes_and_densities_of_organ_and_lesions():
    shape = (80, 80, 50)
    organ = ellipsoid(shape, (32, 32, 37), (30, 20, 20))
    large, small = ellipsoid(shape, (20, 32, 37), (8, 8, 8)), ellipsoid(shape, (45, 32, 37), (4, 4, 4))
    label = (organ.astype(int) + (large | small)).astype(np.uint8)
    hu = np.where(large, 30.0, np.where(small, 70.0, 100.0))
    hu[label == 1] += np.resize([-5.0, 5.0], np.count_nonzero(label == 1))
    measured = measure_scan(label, hu, AFFINE)
    sphere = 4 / 3 * np.pi / 1000
    assert measured.pancreas_ml == pytest.approx(sphere * 30 * 20 * 20, rel=0.01)
    assert [lesion.volume_ml for lesion in measured.lesions] == pytest.approx([sphere * 8**3, sphere * 4**3], rel=0.05)
    assert measured.gland.volume_ml + sum(lesion.volume_ml for lesion in measured.lesions) == pytest.approx(
        measured.pancreas_ml
    )
    assert [lesion.mean_hu for lesion in measured.lesions] == [30, 70]
    assert (measured.gland.mean_hu, measured.gland.sd_hu) == pytest.approx((100, 5), abs=0.01)
    assert measured.lesions[0].centre_mm == pytest.approx((20, 32, 37), abs=0.8)


def test_voxels_that_the_scan_does_not_show_count_for_volumes_and_not_for_densities():
    label = np.ones((6, 6, 6), np.uint8)
    label[1, 1, 1], label[4:, 4, 4] = 2, 2
    hu = np.full(label.shape, 90.0)
    hu[:3] = np.nan
    shown, hidden = measure_scan(label, hu, AFFINE).lesions
    assert (shown.mean_hu, hidden.mean_hu, hidden.sd_hu) == (90, None, None)
    assert hidden.volume_ml == pytest.approx(np.prod(SPACING) / 1000)


def test_lesions_that_touch_at_a_corner_are_one_and_the_largest_comes_first():
    label = np.ones((10, 10, 10), np.uint8)
    label[1, 1, 1] = label[5, 5, 5] = label[6, 6, 6] = 2
    numbered = numbered_lesions(label)
    assert (numbered[1, 1, 1], numbered[5, 5, 5], numbered[6, 6, 6], numbered.max()) == (2, 1, 1, 2)


def test_scan_without_an_organ_has_no_figures():
    measured = measure_scan(np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4)), AFFINE)
    assert (measured.pancreas_ml, measured.centre_line_mm, measured.gland, measured.lesions) == (0, None, None, ())


BENT_MM = 60.0


def bent_organ(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half a ring in the axial plane, of radius 60 mm and 10 mm thick, and the share of its length at each voxel.

    It begins at the patient's right.
    """
    shape = (100, 60, 10)
    x, y, z = grid(shape, affine)
    angle = np.arctan2(y, x)  # 0 at the right, pi at the left
    organ = (np.hypot(np.hypot(x, y) - BENT_MM, z) <= 10) & (y >= 0)
    return organ, angle / np.pi


@pytest.mark.parametrize("mirrored", [False, True], ids=["stored to the right", "stored to the left"])
def test_centre_line_follows_a_bent_organ_from_head_to_tail(mirrored):
    affine = np.diag([-1.5 if mirrored else 1.5, 1.5, 3.0, 1.0])
    affine[:3, 3] = [75 if mirrored else -75, 0, -13.5]
    organ, share = bent_organ(affine)
    line = find_centre_line(organ, affine)
    assert line.length_mm == pytest.approx(np.pi * BENT_MM, rel=0.1)
    assert line.points[0, 0] > line.points[-1, 0]
    assert np.hypot(line.points[:, 0], line.points[:, 1])[3:-3] == pytest.approx(BENT_MM, abs=5)
    for truth in (0.1, 0.4, 0.6, 0.9):
        places = grid(organ.shape, affine)[:, organ & (np.abs(share - truth) < 0.02)].T
        assert line.share_at(places) == pytest.approx(truth, abs=0.04)


def test_centre_line_of_an_organ_that_fills_the_array_is_straight():
    line = find_centre_line(np.ones((120, 20, 20), bool), np.eye(4))
    assert line.length_mm == pytest.approx(120, abs=10)


def test_a_piece_of_an_organ_has_no_parts():
    label = np.ones((int(SHORTEST_MM) - 15, 8, 8), np.uint8)
    label[30:34, 3:5, 3:5] = 2
    measured = measure_scan(label, np.zeros(label.shape), np.eye(4))
    assert measured.centre_line_mm is None
    assert (measured.lesions[0].share, measured.lesions[0].part) == (None, None)


@pytest.fixture
def inference(workflow, tmp_path):
    """Runs the bundle's inference with networks that go by brightness; returns its folder."""

    def run(*scans: Path, **overrides: object) -> Path:
        networks = {"network": Threshold(), "localiser": Threshold(), "inferer#region_size": list(REGION)}
        workflow("inference.json", workflow_type="infer", datalist=list(map(str, scans)), **networks, **overrides).run()
        return tmp_path / "out"

    return run


def test_inference_measures_in_the_scan_as_it_is_stored(inference, tmp_path):
    folder = inference(write_nifti(tmp_path / "a.nii.gz"))
    written = json.loads((folder / "a_measurements.json").read_text())
    assert (written["case"], written["notice"]) == ("a", NOTICE)
    assert written["pancreas_ml"] == pytest.approx(32 * 8 * 6 * 0.027)
    large, small = written["lesions"]
    assert large["volume_ml"] == pytest.approx(5 * 4 * 4 * 0.027)
    assert large["axial_diameter_mm"] == pytest.approx(np.hypot(5 * 3, 3 * 3), abs=1)
    assert (large["mean_hu"], small["mean_hu"]) == (LARGE_HU, SMALL_HU)
    assert (large["part"], small["part"]) == ("head", "tail")
    (row,) = table(folder / "scans.csv")
    assert float(row["doubt"]) == written["doubt"] and row["warning"] == (written["warning"] or "")
    assert (row["lesions"], float(row["pancreas_ml"])) == ("2", pytest.approx(written["pancreas_ml"]))
    assert float(row["lesions_ml"]) == pytest.approx(large["volume_ml"] + small["volume_ml"])
    assert float(row["lesion_mm"]) == pytest.approx(large["axial_diameter_mm"], abs=1e-3)
    regions = table(folder / "measurements.csv")
    assert [(region["case"], region["region"], region["part"]) for region in regions] == [
        ("a", "gland", ""),
        ("a", "lesion 1", "head"),
        ("a", "lesion 2", "tail"),
    ]
    assert float(regions[1]["volume_ml"]) == large["volume_ml"]
    assert float(regions[0]["mean_hu"]) == 100


def test_the_same_figures_come_of_a_dicom_series(inference, tmp_path):
    folder = inference(write_nifti(tmp_path / "a.nii.gz"), write_dicom(tmp_path / "b", "LPI"))
    nifti, series = (json.loads((folder / f"{name}_measurements.json").read_text()) for name in "ab")
    assert len(nifti["lesions"]) == 2
    for one, other in zip([nifti["gland"], *nifti["lesions"]], [series["gland"], *series["lesions"]], strict=True):
        assert one.pop("centre_mm", 0) == pytest.approx(other.pop("centre_mm", 0), abs=1e-3)
        # Which of the organ's corners are its ends hangs on the order of the voxels.
        assert one.pop("share", 0) == pytest.approx(other.pop("share", 0), abs=0.05)
        assert one == pytest.approx(other, abs=2e-3)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
